"""A dense, self-scaled quasi-Newton method."""

from collections.abc import Iterable, Mapping
from typing import Any, TypedDict, Unpack

from napts.optim.quasi_newton.curvature import InverseHessian, SelfScaledBroyden
from napts.optim.quasi_newton.function import Function, Point
from napts.optim.quasi_newton.optimizer import Costs, QuasiNewtonOptimizer
from napts.optim.quasi_newton.options import LineSearchOptions

LARGEST = 20_000
"""Largest number of parameters; with more, the matrix would take over 3.2 GB."""


class SSBroydenOptions(LineSearchOptions, TypedDict, total=False):
    """Options of :class:`SSBroyden`."""


class SSBroyden(QuasiNewtonOptimizer):
    r"""The self-scaled Broyden method, with a dense inverse Hessian and strong Wolfe searches.

    It holds ``n^2`` numbers and takes ``O(n^2)`` operations per step, so it is meant for small
    networks and full batches.

    Args:
        params: Parameters or groups of them, with all options in common; at most 20,000 numbers.

    Raises:
        ValueError: If an argument is out of range, or the network is too large.

    Reference: Al-Baali, Khalfan, *Wide interval for efficient self-scaling quasi-Newton algorithms*
    (2005); Urban, Stefanou, Pons, *Unveiling the optimization process of physics informed neural
    networks* (2024), arXiv 2405.04230. The line search is ours.
    """

    def __init__(self, params: Iterable[Any], **options: Unpack[SSBroydenOptions]) -> None:
        super().__init__(params, options)

    def _make_curvature(self, options: Mapping[str, Any]) -> InverseHessian:
        return SelfScaledBroyden()

    def _advance(self, function: Function, at: Point) -> tuple[Point, Costs]:
        if len(at.theta) > LARGEST:
            raise ValueError(
                f"SSBroyden: found {len(at.theta)} parameters, allowed: at most {LARGEST}, since "
                "it holds their number squared"
            )
        return self._quasi_newton_step(function, at), Costs(published=1.0, update=None)
