"""The classical trust region."""

from collections.abc import Iterable
from typing import Any, Unpack

from napts.optim import members
from napts.optim.acceptance import RadiusRule
from napts.optim.bases import PlainTrustRegion
from napts.optim.composition import Composition
from napts.optim.history import Window
from napts.optim.options import ModelOptions, TrustRegionOptions


class TROptions(TrustRegionOptions, ModelOptions, total=False):
    """Options of :class:`TR`."""


class TR(PlainTrustRegion):
    r"""Classical trust region; of first order in the NAPTS paper, where it is the baseline.

    Each batch starts with one forward and backward. The method then tries ``theta_k + s``, with
    ``s`` the model's step in the region, until ``rho >= eta_1``. Every try costs one forward, and
    every failure shrinks the radius.

    Args:
        params: Parameters or groups of them.

    Options in ``param_groups`` may be edited, as with any torch optimizer. An edit takes effect
    with the next step, memories are kept where they still make sense, and ``radius`` sets the
    current radius, as ``optimizer.radius = 0.05`` does. All groups share one trust region, so
    only ``weight_decay`` may differ between them; an edit of the first group alone applies to
    all.

    Learning-rate schedulers drive the entry ``lr`` of each group, which starts at 1.0 and is
    not an argument. It is a factor on ``radius_max`` (our choice). The largest radius is ``lr *
    radius_max``, the smallest is ``radius_min`` but never above that, and the current radius is
    clipped to this range. With ``lr = 0`` a step measures the loss and does nothing else. A
    peak is a factor too: ``OneCycleLR(optimizer, max_lr=1.0, cycle_momentum=False, ...)``.

    When parameters are frozen, unfrozen or added between steps, the method adapts: remembered
    iterates are completed with current values, pairs of the second-order model are forgotten,
    and moments are kept for unchanged blocks.

    Raises:
        ValueError: If an argument is out of range.

    Reference: Conn, Gould, Toint, *Trust-Region Methods* (2000), Algorithm 6.1.1; APTS in weights
    (arXiv 2312.13677), sections 2 and 3.1, for the parameters
    and the second-order model.
    """

    def __init__(self, params: Iterable[Any], **options: Unpack[TROptions]) -> None:
        super().__init__(params, options)

    def _compose(self, options: dict[str, Any]) -> Composition:
        return Composition(
            members.local_model(options),
            RadiusRule.of(options),
            options["max_tries"],
            global_history=Window(0),
            tracker=members.tracker(options),
        )
