"""Stochastic variance reduced gradient."""

from collections.abc import Iterable
from typing import Any, Unpack

from napts.optim import vectors
from napts.optim.local_solver import Found
from napts.optim.sums.optimizer import Start
from napts.optim.sums.options import InnerOptions
from napts.optim.sums.variance_reduced import VarianceReduced


class SVRGOptions(InnerOptions, total=False):
    """Options of :class:`SVRG`."""


class SVRG(VarianceReduced):
    r"""Stochastic variance reduced gradient.

    One step takes a gradient of all samples at a snapshot ``a`` and ``snapshot_steps`` steps
    ``theta <- theta - eta (g_B(theta) - g_B(a) + g(a))`` on small batches ``B``, at the cost of one
    gradient and ``2 |B| / p`` for each of these. The last iterate is the next snapshot.

    Args:
        params: Parameters or groups of them, with all options in common.

    Raises:
        ValueError: If an argument is out of range.

    Reference: Johnson, Zhang, *Accelerating stochastic gradient descent using predictive variance
    reduction* (2013), option I; the numbers are the defaults of the code of Braglia, Kopanicakova,
    Krause (2020), arXiv 2006.15602, or ours, as each option says.
    """

    def __init__(self, params: Iterable[Any], **options: Unpack[SVRGOptions]) -> None:
        super().__init__(params, options)

    def _advance(self, start: Start) -> Found:
        theta, length = start.theta, self._length(start)
        drift = vectors.scale(-length, start.gradient)
        for total, weight in self._parts(start):
            change = total.gradient_change(theta, start.theta)
            theta = vectors.add(vectors.add_scaled(theta, -length * weight, change), drift)
        return Found(theta)
