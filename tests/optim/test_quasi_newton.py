"""Parts of the quasi-Newton methods: line search, inverse Hessians, directions, local solver."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.optim.lbfgs import _strong_wolfe

from napts.optim.local_solver import Allowance
from napts.optim.quasi_newton.curvature import LimitedMemory, SelfScaledBroyden, factors
from napts.optim.quasi_newton.directions import descending
from napts.optim.quasi_newton.local_lbfgs import LocalLBFGS
from napts.optim.quasi_newton.wolfe import Reached, StrongWolfe
from tests.reference.spqn import compact_hessian, dense_inverse

DOUBLE = torch.float64


def rough(seed: int) -> Any:
    """A function of two variables with several minima, as `x -> (value, gradient)`."""
    a, b, c = torch.rand(3, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE) * 3 + 0.2

    def function(x: Tensor) -> tuple[float, Tensor]:
        x = x.detach().requires_grad_()
        value = (a * x[0] ** 2 + torch.sin(b * x[0] * x[1]) + c * (x[1] - 1) ** 4).sum()
        (gradient,) = torch.autograd.grad(value, x)
        return value.item(), gradient

    return function


# --- the line search ---------------------------------------------------------------------------


@given(st.integers(0, 10_000), st.floats(0.01, 30.0))
@settings(max_examples=100, deadline=None)
def test_the_search_is_torch_s_own(seed: int, length: float) -> None:
    function = rough(seed)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, generator=generator, dtype=DOUBLE)
    loss, gradient = function(x)
    direction = -gradient * torch.rand(2, generator=generator, dtype=DOUBLE)
    slope = torch.dot(gradient, direction)
    if not slope < 0:
        return
    places: list[float] = []
    expected: list[float] = []

    def ours(a: float) -> tuple[float, Tensor]:
        places.append(a)
        return function(x + a * direction)

    def theirs(_x: Tensor, a: Any, _d: Tensor) -> tuple[float, Tensor]:
        expected.append(float(a))
        return function(x + float(a) * direction)

    found = StrongWolfe().search(
        ours, Reached(0.0, loss, gradient, slope.item()), direction, length
    )
    value, _, at, count = _strong_wolfe(theirs, x, length, direction, loss, gradient, slope)
    # Torch divides a number by a tensor as the product with its reciprocal, which rounds twice.
    assert places == pytest.approx(expected, rel=1e-9)
    assert len(places) == count
    assert (found.length, found.loss) == pytest.approx((float(at), value), rel=1e-9, abs=1e-12)
    gradient = function(x + float(at) * direction)[1]
    torch.testing.assert_close(found.gradient, gradient, rtol=1e-6, atol=1e-9)


def test_the_second_place_may_be_higher_than_the_first() -> None:
    """A peculiarity of minFunc's search: from the third on a rise ends the extrapolation."""
    script = [(-1.0, -1.0), (-0.9, -5.0), (3.0, 10.0)]
    one = torch.ones(1, dtype=DOUBLE)

    def told(places: list[float]) -> Any:
        def function(a: float) -> tuple[float, Tensor]:
            value, slope = script[len(places)] if len(places) < len(script) else (-1.5, 0.0)
            places.append(float(a))
            return value, slope * one

        return function

    ours: list[float] = []
    theirs: list[float] = []
    found = StrongWolfe().search(told(ours), Reached(0.0, 0.0, -one, -1.0), one, 1.0)
    evaluate = told(theirs)
    value, _, at, _ = _strong_wolfe(
        lambda _x, a, _d: evaluate(a), one, 1.0, one, 0.0, -one, torch.dot(one, -one)
    )
    assert ours == pytest.approx(theirs)
    assert len(ours) == 4
    assert (found.length, found.loss) == pytest.approx((float(at), value))


def test_the_search_comes_back_from_where_the_loss_is_not_finite() -> None:
    def function(a: float) -> tuple[float, Tensor]:
        value = a**2 - 2 * a if a < 3 else math.nan
        return value, torch.tensor([2 * a - 2 if a < 3 else math.nan], dtype=DOUBLE)

    start = Reached(0.0, 0.0, torch.tensor([-2.0], dtype=DOUBLE), -2.0)
    found = StrongWolfe().search(function, start, torch.ones(1, dtype=DOUBLE), 40.0)
    assert found.loss <= 1e-4 * found.length * -2
    assert abs(found.slope) <= 1.8


def test_a_search_that_finds_nothing_stays() -> None:
    gradient = torch.tensor([-1.0], dtype=DOUBLE)
    start = Reached(0.0, 0.0, gradient, -1.0)
    found = StrongWolfe(evaluations=4).search(lambda a: (a, gradient), start, gradient.neg())
    assert found.length == 0.0
    assert found.loss == 0.0


# --- inverse Hessians --------------------------------------------------------------------------


def pairs_of(count: int, size: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    random = np.random.default_rng(seed)
    root = random.standard_normal((size, size))
    hessian = root @ root.T + np.eye(size)
    steps = random.standard_normal((count, size))
    return [(s, hessian @ s) for s in steps]


def filled(memory: Any, pairs: list[tuple[np.ndarray, np.ndarray]]) -> Any:
    for s, y in pairs:
        memory.update(torch.tensor(s), torch.tensor(y), torch.tensor(-s), 1.0)
    return memory


@pytest.mark.parametrize("count", range(1, 6))
def test_two_loops_are_the_compact_form(count: int) -> None:
    pairs = pairs_of(count, 20, count)
    gradient = np.random.default_rng(9).standard_normal(20)
    found = filled(LimitedMemory(count), pairs).direction(torch.tensor(gradient)).numpy()
    np.testing.assert_allclose(
        found, -np.linalg.solve(compact_hessian(pairs), gradient), rtol=1e-10
    )
    np.testing.assert_allclose(found, -dense_inverse(pairs, 20) @ gradient, rtol=1e-10)


def test_only_the_newest_pairs_count_and_only_curved_ones() -> None:
    pairs = pairs_of(5, 6, 0)
    gradient = torch.randn(6, dtype=DOUBLE)
    memory = filled(LimitedMemory(3), pairs)
    flat = torch.ones(6, dtype=DOUBLE)
    memory.update(flat, -flat, flat, 1.0)
    newest = filled(LimitedMemory(3), pairs[-3:])
    assert torch.equal(memory.direction(gradient), newest.direction(gradient))
    assert torch.equal(LimitedMemory(3).direction(gradient), -gradient)


def by_numpy(pairs: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The self-scaled Broyden matrix by its formulas, `s'Bs` from the inverse itself."""
    size = len(pairs[0][0])
    H, first = np.eye(size), True
    for s, y in pairs:
        ys, yHy = y @ s, y @ H @ y
        b, h = s @ np.linalg.solve(H, s) / ys, yHy / ys
        a = b * h - 1
        rho = min(1, h * (1 - np.sqrt(a / (1 + a))))
        theta = max((rho - 1) / a, min(1 / rho, (1 - b) / b))
        sigma = 1 + theta * a
        phi = (1 - theta) / sigma
        if first:
            tau = h / sigma
        elif theta <= 0:
            tau = min(min(1, 1 / b) * sigma ** (1 / (1 - size)), sigma)
        else:
            tau = min(1, 1 / b) * min(sigma ** (1 / (1 - size)), 1 / theta)
        v = np.sqrt(yHy) * (s / ys - H @ y / yHy)
        H = (H - np.outer(H @ y, H @ y) / yHy + phi * np.outer(v, v)) / tau + np.outer(s, s) / ys
        first = False
    return H


def test_self_scaled_broyden_by_its_formulas() -> None:
    random = np.random.default_rng(0)
    root = random.standard_normal((8, 8))
    hessian, gradient = root @ root.T + np.eye(8), random.standard_normal(8)
    ours, pairs = SelfScaledBroyden(), []
    for length in (0.02, 0.7, 1.3, 0.9, 1.0):
        direction = ours.direction(torch.tensor(gradient)).numpy()
        s, y = length * direction, length * hessian @ direction
        ours.update(torch.tensor(s), torch.tensor(y), torch.tensor(gradient), length)
        pairs.append((s, y))
        gradient = gradient + y
        matrix = by_numpy(pairs)
        np.testing.assert_allclose(ours.state_dict().numpy(), matrix, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(matrix @ y, s, rtol=1e-8, atol=1e-10)  # the secant equation
        assert np.linalg.eigvalsh(matrix).min() > 0


@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3), st.booleans())
def test_the_factors_are_finite_and_positive(b: float, h: float, first: bool) -> None:
    phi, tau = factors(b, max(h, 1.0 / b), 50, first=first)
    assert math.isfinite(phi)
    assert 0 < tau < math.inf


# --- directions --------------------------------------------------------------------------------


def test_momentum_mixes_and_the_slope_is_that_of_what_is_searched_along() -> None:
    memory = filled(LimitedMemory(3), pairs_of(3, 6, 1))
    generator = torch.Generator().manual_seed(3)
    gradient, velocity = torch.randn(2, 6, generator=generator, dtype=DOUBLE)
    velocity = -gradient + 0.1 * velocity
    step = memory.direction(gradient)
    found = descending(memory, gradient, velocity, 0.9)
    torch.testing.assert_close(found.vector, 0.1 * velocity + 0.9 * step)
    assert found.slope == pytest.approx(torch.dot(gradient, found.vector).item())
    assert found.slope != pytest.approx(torch.dot(gradient, step).item(), rel=1e-3)
    plain = descending(memory, gradient, velocity, 1.0)
    assert torch.equal(plain.vector, step)


def test_what_leads_upwards_is_dropped_first_momentum_then_the_memory() -> None:
    memory = filled(LimitedMemory(3), pairs_of(3, 6, 1))
    gradient = torch.randn(6, generator=torch.Generator().manual_seed(3), dtype=DOUBLE)
    found = descending(memory, gradient, 1e6 * gradient, 0.9)
    assert torch.equal(found.vector, memory.direction(gradient))

    class Upwards(LimitedMemory):
        def direction(self, gradient: Tensor) -> Tensor:
            return gradient.clone()

    found = descending(Upwards(3), gradient, gradient, 0.9)
    assert found.plain
    assert torch.equal(found.vector, -gradient)
    assert found.slope == -torch.dot(gradient, gradient).item()


# --- the local solver --------------------------------------------------------------------------


class Bowl:
    """A quadratic as a local problem; `calls` counts its gradients."""

    norm = "l2"

    def __init__(self, size: int = 5) -> None:
        self.scales = torch.arange(1.0, size + 1, dtype=DOUBLE)
        self.start = [torch.ones(size, dtype=DOUBLE)]
        self.calls = 0

    @property
    def loss(self) -> float:
        return 0.5 * (self.scales * self.start[0] ** 2).sum().item()

    @property
    def slope(self) -> list[Tensor]:
        return [self.scales * self.start[0]]

    def value(self, trial: list[Tensor], predicted: float, *, keep_graph: bool) -> Any:
        self.at = trial[0]
        return 0.5 * (self.scales * self.at**2).sum().item(), predicted

    def gradient(self) -> list[Tensor]:
        self.calls += 1
        return [self.scales * self.at]


def minimised(solver: LocalLBFGS, radius: float = math.inf) -> Any:
    problem: Any = Bowl()
    return solver.minimise(problem, Allowance(radius)), problem


def test_local_lbfgs_minimises() -> None:
    found, problem = minimised(LocalLBFGS(40, 5))
    assert found.loss < 1e-14
    assert found.theta[0].norm() < 1e-6
    few, problem = minimised(LocalLBFGS(2, 5))
    assert few.loss < problem.loss
    assert 2 <= problem.calls <= 6


def test_local_lbfgs_keeps_to_a_radius() -> None:
    found, problem = minimised(LocalLBFGS(10, 5), 0.5)
    assert (found.theta[0] - problem.start[0]).norm().item() == pytest.approx(0.5)
    assert found.loss is None


def test_local_memory_outlives_a_call_only_if_it_is_kept_and_committed() -> None:
    for keep in (False, True):
        solver = LocalLBFGS(3, 5, keep=keep)
        minimised(solver)
        assert not solver.state_dict()["pairs"]
        solver.commit()
        assert bool(solver.state_dict()["pairs"]) == keep
        first, _ = minimised(LocalLBFGS(3, 5))
        again, _ = minimised(solver)
        assert (again.loss < first.loss) == keep
