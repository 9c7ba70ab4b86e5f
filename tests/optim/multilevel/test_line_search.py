"""Backtracking: what it accepts, how often it tries, what it costs."""

import pytest
import torch

from napts.optim.multilevel.armijo import Armijo
from napts.optim.sums.finite_sum import HessianProduct
from napts.optim.vectors import Vector


class Values:
    """A function of which only values are asked for, from a list."""

    def __init__(self, *values: float) -> None:
        self.left, self.points = list(values), []

    def value(self, theta: Vector) -> float:
        self.points.append(float(theta[0]))
        return self.left.pop(0)

    def value_and_gradient(self, theta: Vector) -> tuple[float, Vector]:
        raise AssertionError(theta)

    def hessian(self, theta: Vector) -> HessianProduct:
        raise AssertionError(theta)


START, STEP = [torch.zeros(1).double()], [torch.ones(1).double()]


def test_a_decrease_must_be_a_share_of_the_slope() -> None:
    """At length ``a`` the value has to fall by ``0.1 a``; at 1/4 it just does."""
    function = Values(0.95, 0.96, 0.975)
    found = Armijo(0.1).search(function, START, 1.0, -1.0, STEP)
    assert found is not None
    assert function.points == [1.0, 0.5, 0.25]
    assert (float(found.theta[0]), found.loss, found.length, found.turns) == (0.25, 0.975, 0.25, 2)


def test_what_is_not_finite_is_no_decrease() -> None:
    function = Values(float("nan"), float("inf"), 0.5)
    found = Armijo().search(function, START, 1.0, -1.0, STEP, length=4.0)
    assert found is not None
    assert (found.length, found.turns) == (1.0, 2)


@pytest.mark.parametrize("backtracks", [0, 3])
def test_it_gives_up_after_so_many_backtracks(backtracks: int) -> None:
    function = Values(*[2.0] * (backtracks + 1))
    search = Armijo(shrink=0.1, backtracks=backtracks)
    assert search.search(function, START, 1.0, -1.0, STEP) is None
    assert function.points == pytest.approx([0.1**k for k in range(backtracks + 1)])


@pytest.mark.parametrize("slope", [0.0, 1.0, float("nan")])
def test_without_descent_nothing_is_evaluated(slope: float) -> None:
    assert Armijo().search(Values(), START, 1.0, slope, STEP) is None
