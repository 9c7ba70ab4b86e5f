"""The stochastic recursive gradient algorithm."""

from collections.abc import Iterable
from typing import Any, Unpack

from napts.optim import vectors
from napts.optim.local_solver import Found
from napts.optim.sums.optimizer import Start
from napts.optim.sums.options import InnerOptions
from napts.optim.sums.variance_reduced import VarianceReduced


class SARAHOptions(InnerOptions, total=False):
    """Options of :class:`SARAH`."""


class SARAH(VarianceReduced):
    r"""Stochastic recursive gradient algorithm.

    One step starts with a gradient ``v`` of all samples and a step along it. Then,
    ``snapshot_steps`` times, ``v <- g_B(theta) - g_B(before) + v`` and ``theta <- theta - eta v``,
    where ``before`` is the iterate before ``theta``. This costs as much as :class:`SVRG`. The next
    step starts from the last iterate (our choice; the paper draws one of them).

    Args:
        params: Parameters or groups of them, with all options in common.

    Raises:
        ValueError: If an argument is out of range.

    Reference: Nguyen, Liu, Scheinberg, Takac, *SARAH: a novel method for machine learning problems
    using stochastic recursive gradient* (2017), arXiv 1703.00102; numbers as for :class:`SVRG`.
    """

    def __init__(self, params: Iterable[Any], **options: Unpack[SARAHOptions]) -> None:
        super().__init__(params, options)

    def _advance(self, start: Start) -> Found:
        length, direction, before = self._length(start), start.gradient, start.theta
        theta = vectors.add_scaled(before, -length, direction)
        for total, weight in self._parts(start):
            change = total.gradient_change(theta, before)
            direction = vectors.add_scaled(direction, weight, change)
            before, theta = theta, vectors.add_scaled(theta, -length, direction)
        return Found(theta)
