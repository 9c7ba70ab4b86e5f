"""The cycle on hierarchies of quadratics and of functions that are none, with any transfers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from napts.optim import vectors
from napts.optim.acceptance import RadiusRule
from napts.optim.cadam import CAdam
from napts.optim.local_solver import UNBOUNDED, Allowance, Found, LocalSolver
from napts.optim.local_trust_region import LocalTrustRegion
from napts.optim.moments import ResetMoments
from napts.optim.multilevel.conjugate_gradients import ConjugateGradients
from napts.optim.multilevel.cycle import Cycle, Levels, Smoothing
from napts.optim.multilevel.globalisation import FixedStep, LineSearch, TrustRegion
from napts.optim.multilevel.gradient_descent import GradientDescent
from napts.optim.multilevel.level import Corrected, Function, LevelProblem
from napts.optim.multilevel.newton_cg import NewtonCG, NewtonModels
from napts.optim.multilevel.transfer import IDENTITY
from napts.optim.quadratic_model import SecondOrder
from napts.optim.sr1 import LimitedMemorySR1
from napts.optim.vectors import Vector

N = 8
RULE = RadiusRule(1e-12, 1e12, 0.5, 2.0, 0.25, 0.75)
EXACT = ConjugateGradients(60, 1e-14)
NEWTON = NewtonCG(1, 1.0, EXACT)


@dataclass
class Quadratic:
    """``x A x / 2 - b x + c sum sin(x)``; notes where it was evaluated."""

    a: Tensor
    b: Tensor
    c: float = 0.0
    values: list[Tensor] = field(default_factory=list)
    gradients: list[Tensor] = field(default_factory=list)

    def at(self, x: Tensor) -> float:
        return float(0.5 * x @ self.a @ x - self.b @ x + self.c * x.sin().sum())

    def slope(self, x: Tensor) -> Tensor:
        return self.a @ x - self.b + self.c * x.cos()

    def value(self, theta: Vector) -> float:
        self.values.append(theta[0])
        return self.at(theta[0])

    def value_and_gradient(self, theta: Vector) -> tuple[float, Vector]:
        self.gradients.append(theta[0])
        return self.at(theta[0]), [self.slope(theta[0])]

    def hessian(self, theta: Vector) -> Any:
        curved = self.a - self.c * theta[0].sin().diag()
        return lambda v: [curved @ v[0]]


@dataclass(frozen=True)
class Cells:
    """Two cells for each coarser one, as blocks of a network with half the time step."""

    stretch: float = math.sqrt(2.0)

    def restrict(self, gradient: Vector) -> Vector:
        return [gradient[0].reshape(-1, 2).sum(1)]

    def project(self, theta: Vector) -> Vector:
        return [theta[0].reshape(-1, 2).mean(1)]

    def prolong(self, step: Vector) -> Vector:
        return [step[0].repeat_interleave(2)]


def _random(seed: int, size: int = N) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=size))


def _quadratic(seed: int, size: int = N, c: float = 0.0) -> Quadratic:
    root = torch.from_numpy(np.random.default_rng(seed).normal(size=(size, size)))
    return Quadratic(root @ root.T / size + torch.eye(size), _random(seed + 100, size), c)


def _galerkin(fine: Quadratic) -> Quadratic:
    """The fine function on prolonged vectors."""
    prolong = torch.eye(len(fine.b) // 2).double().repeat_interleave(2, 0)
    return Quadratic(prolong.T @ fine.a @ prolong, prolong.T @ fine.b)


def _start(function: Quadratic, theta: Tensor, models: Any = None) -> LevelProblem:
    slope = [function.slope(theta)]
    return LevelProblem(function, [theta], slope, function.at(theta), models=models)


def _plain(coarse: LocalSolver[Any], levels: int, **more: Any) -> Cycle:
    return Cycle(coarse, [Smoothing()] * (levels - 1), **more)


def _run(
    cycle: Cycle,
    levels: Levels,
    theta: Tensor,
    allowance: Allowance = UNBOUNDED,
    models: Any = None,
) -> Found:
    (finest, *_) = reversed(levels.functions)
    return cycle.run(levels, _start(finest, theta, models), allowance)  # pyright: ignore[reportArgumentType]


def test_transfers_are_adjoint() -> None:
    cells, gradient, step = Cells(), _random(1), _random(2, N // 2)
    restricted, prolonged = cells.restrict([gradient])[0], cells.prolong([step])[0]
    assert float(restricted @ step) == pytest.approx(float(gradient @ prolonged))
    assert torch.equal(cells.project([prolonged])[0], step)
    assert float(prolonged.norm()) <= cells.stretch * float(step.norm()) * (1 + 1e-15)
    assert IDENTITY.restrict([gradient])[0] is gradient


def test_a_corrected_function_has_the_gradient_that_is_given() -> None:
    function, origin, gradient = _quadratic(1, c=0.3), [_random(2)], [_random(3)]
    corrected = Corrected(function, origin, gradient)
    assert not function.gradients
    copy = [origin[0].clone()]
    torch.testing.assert_close(corrected.value_and_gradient(copy)[1], gradient, rtol=0, atol=1e-14)
    assert corrected.value(copy) == pytest.approx(function.at(origin[0]))
    theta, step = [_random(4)], 1e-6 * _random(5)
    ends = [corrected.value([theta[0] + sign * step]) for sign in (1, -1)]
    slope = float(corrected.value_and_gradient(theta)[1][0] @ step)
    assert ends[0] - ends[1] == pytest.approx(2 * slope, rel=1e-6)


def test_the_correction_from_a_galerkin_level_is_the_best_one_there_is() -> None:
    """Two-level: ``theta - I (R A I)^-1 R grad``."""
    fine, theta = _quadratic(1), _random(7)
    coarse = _galerkin(fine)
    levels = Levels([coarse, fine], [Cells()])
    for globalisation in (FixedStep(), LineSearch()):
        found = _run(_plain(NEWTON, 2, globalisation=globalisation), levels, theta)
        assert found.theta is not None
        restricted = fine.slope(theta).reshape(-1, 2).sum(1)
        expected = theta - torch.linalg.solve(coarse.a, restricted).repeat_interleave(2)
        torch.testing.assert_close(found.theta[0], expected, rtol=0, atol=1e-11)
        assert fine.slope(found.theta[0]).reshape(-1, 2).sum(1).norm() < 1e-10


@dataclass
class Noting(LocalSolver[LevelProblem]):
    """Notes its problems and moves by a part of the gradient."""

    steps: int = 1
    rate: float = 0.1
    seen: list[LevelProblem] = field(default_factory=list)

    def minimise(self, problem: LevelProblem, allowance: Allowance) -> Found:
        self.seen.append(problem)
        return Found(vectors.add_scaled(problem.start, -self.rate, problem.slope))


@pytest.mark.parametrize("count", [2, 3, 4])
def test_gradients_agree_on_all_levels(count: int) -> None:
    """Whatever the functions and however many levels, smoothing or not."""
    functions = [_quadratic(seed, c=0.4) for seed in range(count)]
    coarse, before, after = Noting(), [Noting() for _ in functions], [Noting() for _ in functions]
    for smoothing in (
        [Smoothing()] * (count - 1),
        [Smoothing(b, a) for b, a in zip(before, after, strict=True)][1:],
    ):
        coarse.seen.clear()
        _run(Cycle(coarse, smoothing, FixedStep()), Levels(functions), _random(9))
        (problem,) = coarse.seen
        if smoothing[0].before is None:
            torch.testing.assert_close(
                problem.slope[0], functions[-1].slope(problem.start[0]), rtol=0, atol=1e-13
            )
        # Its function has that gradient where it starts, evaluated there anew.
        again = [problem.start[0].clone()]
        torch.testing.assert_close(
            problem.function.value_and_gradient(again)[1], problem.slope, rtol=0, atol=1e-13
        )
    for level in range(1, count):
        assert len(before[level].seen) == len(after[level].seen) == 1


@pytest.mark.parametrize(("visits", "expected"), [(1, [1, 1, 1, 1]), (2, [4, 4, 2, 1])])
def test_v_and_w_cycles(visits: int, expected: list[int]) -> None:
    functions = [_quadratic(seed) for seed in range(4)]
    coarse, before = Noting(), [Noting() for _ in range(3)]
    cycle = Cycle(coarse, [Smoothing(solver) for solver in before], FixedStep(), visits=visits)
    _run(cycle, Levels(functions), _random(3))
    assert [len(solver.seen) for solver in (coarse, *before)] == expected


def test_neighbours_that_are_one_need_no_correction() -> None:
    function = _quadratic(2, c=0.2)
    found = _run(_plain(NoStep(), 3, globalisation=FixedStep()), Levels([function] * 3), _random(1))
    assert found.theta is not None
    assert not function.gradients
    assert not function.values


@dataclass
class NoStep(LocalSolver[LevelProblem]):
    """Evaluates what it stands on and stays."""

    steps: int = 1

    def minimise(self, problem: LevelProblem, allowance: Allowance) -> Found:
        assert isinstance(problem.function, Quadratic)
        assert problem.loss == problem.function.at(problem.start[0])
        return Found(problem.start)


def test_the_coarser_level_is_left_out_where_it_has_nothing_to_say() -> None:
    fine = _quadratic(1)
    fine.a, fine.b = torch.eye(N).double(), torch.tensor([1.0, -1.0] * (N // 2)).double()
    levels = Levels([_quadratic(5, N // 2), fine], [Cells()])
    theta = torch.zeros(N).double()
    for kappa, visits in ((0.0, 1), (0.5, 0)):  # its gradient is restricted to nothing
        coarse = Noting()
        _run(_plain(coarse, 2, globalisation=FixedStep(), kappa=kappa), levels, theta)
        assert len(coarse.seen) == visits
    coarse = Noting()
    _run(_plain(coarse, 2, globalisation=FixedStep(), kappa=0.5), levels, _random(3))
    assert len(coarse.seen) == 1


def test_a_step_that_does_not_descend_is_not_taken() -> None:
    fine, coarse = _quadratic(1), _quadratic(2)
    theta = _random(3)
    up = Noting(rate=-0.5)
    found = _run(_plain(up, 2), Levels([coarse, fine]), theta)
    assert found.theta is not None
    assert found.theta[0] is theta
    assert not fine.values
    far = Noting(rate=1e3)
    found = _run(_plain(far, 2), Levels([coarse, fine]), theta)
    assert found.theta is not None
    assert found.loss is not None
    assert found.loss < fine.at(theta)
    assert found.loss == fine.at(found.theta[0])


def _models(of: str) -> Any:
    if of == "newton":
        return partial(NewtonModels, solver=ConjugateGradients())

    def sr1(function: Function) -> SecondOrder:
        return SecondOrder("l2", LimitedMemorySR1(5))

    return sr1


@pytest.mark.parametrize("of", ["newton", "sr1"])
@pytest.mark.parametrize("visits", [1, 2])
def test_a_hierarchy_of_trust_regions(of: str, visits: int) -> None:
    """Cells on three levels, as for networks: radii kept on each, and the loss never rises."""
    functions = [_quadratic(4, N // 4, 0.5), _quadratic(5, N // 2, 0.5), _quadratic(6, N, 0.5)]
    models, theta, radius = _models(of), _random(8), 0.4
    local = LocalTrustRegion(2, RULE)
    seen = Spying(local)
    cycle = Cycle(
        seen,
        [Smoothing(Spying(local), Spying(local))] * 2,
        TrustRegion(RULE),
        visits=visits,
        models=[models] * 3,
    )
    levels = Levels(functions, [Cells(), Cells()])
    losses = [functions[-1].at(theta)]
    for _ in range(12):
        found = _run(cycle, levels, theta, Allowance(radius, reach=math.inf), models)
        assert found.theta is not None
        assert found.radius is not None
        for start, end, allowed in seen.moves:
            # A coarse step, prolonged to the finest level, within the radius there.
            prolonged = Cells().prolong(Cells().prolong([end - start]))[0]
            assert float((end - start).norm()) <= allowed * (1 + 1e-9)
            assert float(prolonged.norm()) <= 2.0 * allowed * (1 + 1e-9)
        seen.moves.clear()
        theta, radius = found.theta[0], found.radius
        losses.append(functions[-1].at(theta))
    assert all(b <= a + 1e-13 for a, b in pairwise(losses))
    assert functions[-1].slope(theta).norm() < (1e-6 if of == "newton" else 1e-2)


def test_a_promise_within_rounding_is_some_promise_if_there_is_a_step() -> None:
    """The difference of two almost equal values may come out as 0, or as less."""
    fine, theta = _quadratic(1), _random(2)
    problem = _start(fine, theta)
    noise = 1e-16 * abs(problem.loss)
    step = [-1e-12 * fine.slope(theta)]
    for decrease in (0.0, -noise, noise):
        promise = partial(float, decrease)
        found = TrustRegion(RULE, rounding=2e-15).take(problem, step, promise, 1.0)
        assert found.trials[0].accepted
        assert found.radius == 2.0
        found = TrustRegion(RULE).take(problem, step, promise, 1.0)
        assert not found.trials[0].accepted
        assert found.radius == 0.5
    for guarded in (0.0, 2e-15):
        region = TrustRegion(RULE, rounding=guarded)
        nothing = [torch.zeros(N).double()]
        assert not region.take(problem, nothing, lambda: noise, 1.0).trials[0].accepted
        assert not region.take(problem, step, lambda: -1.0, 1.0).trials[0].accepted


@dataclass
class Spying(LocalSolver[Any]):
    """A solver whose moves are noted, with what they were allowed."""

    inner: LocalTrustRegion
    steps: int = 2
    moves: list[tuple[Tensor, Tensor, float]] = field(default_factory=list)

    def minimise(self, problem: Any, allowance: Allowance) -> Found:
        found = self.inner.minimise(problem, allowance)
        assert found.theta is not None
        allowed = allowance.radius if allowance.reach is None else allowance.reach
        self.moves.append((problem.start[0], found.theta[0], allowed))
        return found


@pytest.mark.parametrize("radius", [0.01, 0.2, 3.0])
def test_no_coarse_correction_leads_beyond_the_radius(radius: float) -> None:
    """With any solver: prolonged and before it is judged."""
    theta, models = _random(8), _models("newton")
    functions = [_quadratic(4, N // 4, 0.5), _quadratic(5, N // 2, 0.5), _quadratic(6, N, 0.5)]
    solvers: Sequence[LocalSolver[Any]] = (
        LocalTrustRegion(4, RULE),
        NewtonCG(3),
        NewtonCG(3, 1.0),
        GradientDescent(5),
        GradientDescent(5, 0.7),
        CAdam(5, (0.9, 0.999), 1e-8, "scale", "l2", ResetMoments()),
    )
    for solver in solvers:
        for smoothing in ([], [Smoothing(solver, solver)]):
            cycle = Cycle(
                solver, [*smoothing, Smoothing()], FixedStep(), visits=2, models=[models] * 3
            )
            levels = Levels(functions[1 - len(smoothing) :], [Cells()] * (1 + len(smoothing)))
            found = _run(cycle, levels, theta, Allowance(radius, reach=math.inf), models)
            assert found.theta is not None
            length = float((found.theta[0] - theta).norm())
            assert 0.0 < length <= radius * (1 + 1e-9), solver


def test_one_level_is_its_solver() -> None:
    function, theta, models = _quadratic(3, c=0.5), _random(4), _models("newton")
    solver, allowance = LocalTrustRegion(3, RULE), Allowance(0.5, reach=math.inf)
    found = _run(Cycle(solver, []), Levels([function]), theta, allowance, models)
    direct = solver.minimise(_start(function, theta, models), allowance)
    assert found.theta is not None
    assert direct.theta is not None
    assert torch.equal(found.theta[0], direct.theta[0])
    assert (found.radius, found.trials) == (direct.radius, direct.trials)


def test_a_trust_region_tests_what_the_coarse_level_promised() -> None:
    """Accepted if and only if the ratio reaches the threshold; the radius follows it."""
    outcomes = set()
    for seed in range(30):
        fine, coarse, theta = _quadratic(seed, c=2.0), _quadratic(seed + 50), _random(seed)
        radius = 0.1 * 4.0 ** (seed % 4)
        models = _models("newton")
        cycle = _plain(
            LocalTrustRegion(2, RULE), 2, globalisation=TrustRegion(RULE), models=[models] * 2
        )
        levels = Levels([coarse, fine])
        found = _run(cycle, levels, theta, Allowance(radius, reach=math.inf), models)
        (trial,) = found.trials
        assert found.theta is not None
        ratio = trial.ratio_current
        assert trial.accepted == (ratio >= 0.25) == (found.theta[0] is not theta)
        if trial.evaluated:
            step = trial.step_norm
            assert step <= radius * (1 + 1e-12)
            assert ratio == pytest.approx(
                (fine.at(theta) - trial.trial_loss) / trial.predicted_reduction
            )
        expected = radius * (0.5 if ratio < 0.25 else 2.0 if ratio > 0.75 else 1.0)
        assert found.radius == expected
        outcomes.add((trial.accepted, expected / radius))
    assert outcomes >= {(False, 0.5), (True, 1.0), (True, 2.0)}
