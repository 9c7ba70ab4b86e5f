"""APTS with the subdomains of the NAPTS paper."""

from typing import Any, Unpack

from napts.optim import members
from napts.optim.acceptance import RadiusRule
from napts.optim.bases import SchwarzMethod
from napts.optim.composition import Composition
from napts.optim.history import Window
from napts.optim.option import Amendment
from napts.optim.options import CorrectionOptions, SchwarzOptions, TrustRegionOptions
from napts.optim.subdomains import Decomposition


class APTSOptions(SchwarzOptions, CorrectionOptions, TrustRegionOptions, total=False):
    """Options of :class:`APTS`."""


class APTS(SchwarzMethod):
    r"""Additively preconditioned trust-region strategy with inexact subdomains.

    NAPTS with the monotone acceptance test: the baseline of the NAPTS paper.

    Args:
        stages: The subdomains, from :func:`napts.partition_layers`.

    Raises:
        ValueError: If an argument is out of range.

    Reference: APTS in weights (arXiv 2312.13677) with the approximate subdomains of NAPTS
    (arXiv 2605.14860), sections 2.1 and 2.3.
    """

    amended = (Amendment("max_tries", "Applies to the global step."),)

    def __init__(self, stages: Decomposition, **options: Unpack[APTSOptions]) -> None:
        super().__init__(stages, options)

    def _compose(self, options: dict[str, Any]) -> Composition:
        return Composition(
            members.local_model(options),
            RadiusRule.of(options),
            options["max_tries"],
            global_history=Window(0),
            proposal_history=Window(0),
            preconditioner=members.schwarz(options, self._decomposition),
            correction=members.correction(options),
            global_step=options["global_step"],
            shared_radius=options["shared_radius"],
            tracker=members.tracker(options),
        )
