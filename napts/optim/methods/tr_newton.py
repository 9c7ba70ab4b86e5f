"""The trust-region Newton method."""

from collections.abc import Iterable
from typing import Any, TypedDict, Unpack

from napts.optim.local_solver import Found
from napts.optim.sums.optimizer import Start
from napts.optim.sums.options import ConjugateGradientOptions, RadiusOptions
from napts.optim.sums.trust_region import SumTrustRegion


class TRNewtonOptions(RadiusOptions, ConjugateGradientOptions, TypedDict, total=False):
    """Options of :class:`TRNewton`."""


class TRNewton(SumTrustRegion):
    r"""Trust-region Newton with the Hessian of all samples and Steihaug's conjugate gradients.

    One step is one iteration. A rejected one costs a value and no gradient: the gradient at the
    iterate is kept for the next step, if that is given the same sum. The method needs no samples; a
    closure is enough.

    Args:
        params: Parameters or groups of them, with all options in common.

    Raises:
        ValueError: If an argument is out of range.

    Reference: Conn, Gould, Toint, *Trust-Region Methods* (2000), Algorithms 6.1.1 and 7.5.1; the
    baseline of the slides on ASTROM by Krause and others.
    """

    def __init__(self, params: Iterable[Any], **options: Unpack[TRNewtonOptions]) -> None:
        super().__init__(params, options)

    def _advance(self, start: Start) -> Found:
        return self._newton_steps(start, 1)
