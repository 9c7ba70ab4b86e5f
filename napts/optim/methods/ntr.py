"""The non-monotone trust region."""

from collections.abc import Iterable
from typing import Any, Unpack

from napts.optim import members
from napts.optim.acceptance import RadiusRule
from napts.optim.bases import PlainTrustRegion
from napts.optim.composition import Composition
from napts.optim.option import Amendment
from napts.optim.options import HistoryOptions, ModelOptions, TrustRegionOptions


class NTROptions(HistoryOptions, TrustRegionOptions, ModelOptions, total=False):
    """Options of :class:`NTR`."""


class NTR(PlainTrustRegion):
    r"""Non-monotone trust region: :class:`TR` that may also measure its trials against the past.

    Accepts if ``max(rho_c, rho_h) >= eta_1`` with the two ratios of NAPTS eq. (9).

    Args:
        params: Parameters or groups of them.

    Raises:
        ValueError: If an argument is out of range.

    Reference: NAPTS (arXiv 2605.14860), section 2.2, eqs. (5) to (9), whose formulas are
    reconstructed from its prose; Conn, Gould, Toint, Algorithms 10.1.1 and 10.1.2.
    """

    amended = (Amendment("window", "0 gives TR."),)

    def __init__(self, params: Iterable[Any], **options: Unpack[NTROptions]) -> None:
        super().__init__(params, options)

    def _compose(self, options: dict[str, Any]) -> Composition:
        return Composition(
            members.local_model(options),
            RadiusRule.of(options),
            options["max_tries"],
            global_history=members.history(options),
            reevaluate=options["history_scope"] == "reeval",
            forget=options["history_scope"] == "per_batch",
            tracker=members.tracker(options),
        )
