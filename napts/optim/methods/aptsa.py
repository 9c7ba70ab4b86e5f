"""APTS with every proposal accepted."""

from typing import Any, Unpack

from napts.optim import members
from napts.optim.acceptance import RadiusRule
from napts.optim.bases import SchwarzMethod
from napts.optim.composition import Composition
from napts.optim.history import Window
from napts.optim.option import Amendment
from napts.optim.options import SchwarzOptions, TrustRegionOptions
from napts.optim.subdomains import Decomposition


class APTSAOptions(SchwarzOptions, TrustRegionOptions, total=False):
    """Options of :class:`APTSA`."""


class APTSA(SchwarzMethod):
    r"""APTS with aggressive acceptance: every proposal is taken, only the global step is tested.

    A proposal whose loss is NaN or infinite is refused (our choice). Only the global step changes
    the radius.

    Args:
        stages: The subdomains, from :func:`napts.partition_layers`.

    Raises:
        ValueError: If an argument is out of range.

    Reference: NAPTS (arXiv 2605.14860), section 3; APTS in weights (arXiv 2312.13677) without
    forced decrease.
    """

    amended = (Amendment("max_tries", "Applies to the global step."),)

    def __init__(self, stages: Decomposition, **options: Unpack[APTSAOptions]) -> None:
        super().__init__(stages, options)

    def _compose(self, options: dict[str, Any]) -> Composition:
        return Composition(
            members.local_model(options),
            RadiusRule.of(options),
            options["max_tries"],
            global_history=Window(0),
            preconditioner=members.schwarz(options, self._decomposition),
            tracker=members.tracker(options),
        )
