"""The local phase of ASPQN and MSPQN: exact on quadratics, each subdomain by itself."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import napts
from napts.decomposition import ParameterSubsets
from napts.optim.local_solver import Allowance, Found, LocalSolver, ValuedProblem
from napts.optim.quasi_newton.function import Function, Point
from napts.optim.quasi_newton.local_lbfgs import LocalLBFGS
from napts.optim.quasi_newton.local_phase import Additive, Multiplicative
from napts.optim.quasi_newton.subspaces import covering, subspaces
from napts.optim.step_context import StepContext
from napts.optim.vectors import Layout
from tests.helpers.spqn import (
    DOUBLE,
    LAYERED,
    flat,
    local_phase,
    make,
    network,
    problem_of,
    trained,
)


class Quadratic(nn.Module):
    """``x' A x / 2 - b' x`` of three parameters."""

    sizes = (2, 3, 1)

    def __init__(self, hessian: Tensor, b: Tensor) -> None:
        super().__init__()
        self.hessian, self.b = hessian, b
        self.parts = nn.ParameterList(
            nn.Parameter(torch.zeros(n, dtype=DOUBLE)) for n in self.sizes
        )

    def forward(self) -> Tensor:
        x = torch.cat(list(self.parts))
        return 0.5 * x @ self.hessian @ x - self.b @ x


class ExactSolver(LocalSolver[ValuedProblem]):
    """Minimises a quadratic over one block."""

    steps = 1

    def __init__(self, block: Tensor) -> None:
        self.block = block

    def minimise(self, problem: ValuedProblem, allowance: Allowance) -> Found:
        return Found([problem.start[0] - torch.linalg.solve(self.block, problem.slope[0])])


@pytest.fixture
def quadratic() -> Any:
    torch.manual_seed(2)
    root = torch.randn(6, 6, dtype=DOUBLE)
    return root @ root.T + torch.eye(6, dtype=DOUBLE), torch.randn(6, dtype=DOUBLE)


BLOCKS = (slice(0, 2), slice(2, 5), slice(5, 6))


def phase(hessian: Tensor, b: Tensor, kind: Any) -> tuple[Tensor, Tensor]:
    """Return the parameters and the correction of a local phase with exact solvers."""
    model = Quadratic(hessian, b)
    layout = Layout([list(model.parts)])
    spaces = subspaces(layout, [[p] for p in model.parts])
    solvers = [ExactSolver(hessian[own, own]) for own in BLOCKS]
    with torch.no_grad():
        for p in model.parts:
            p.copy_(torch.randn_like(p))
        function = Function(napts.Batch(lambda _: model(), b), layout, StepContext())
        start = function.start()
        corrected = kind(spaces, solvers).run(function, start)
    return start.theta, corrected.correction


def test_additive_phase_solves_a_block_diagonal_problem(quadratic: Any) -> None:
    hessian, b = quadratic
    hessian = torch.block_diag(*(hessian[own, own] for own in BLOCKS))
    theta, correction = phase(hessian, b, Additive)
    torch.testing.assert_close(theta + correction, torch.linalg.solve(hessian, b))


def test_additive_phase_is_block_jacobi(quadratic: Any) -> None:
    hessian, b = quadratic
    theta, correction = phase(hessian, b, Additive)
    expected = torch.cat(
        [torch.linalg.solve(hessian[o, o], (b - hessian @ theta)[o]) for o in BLOCKS]
    )
    torch.testing.assert_close(correction, expected)


def test_multiplicative_phase_is_block_gauss_seidel(quadratic: Any) -> None:
    hessian, b = quadratic
    theta, correction = phase(hessian, b, Multiplicative)
    x = theta.clone()
    for own in BLOCKS:
        x[own] += torch.linalg.solve(hessian[own, own], (b - hessian @ x)[own])
    torch.testing.assert_close(theta + correction, x)


@pytest.mark.parametrize("subdomains", [1, 3, 4])
def test_restrictions_and_extensions_are_a_partition_of_one(subdomains: int) -> None:
    spaces, start, *_ = local_phase(Additive, subdomains)
    total = torch.zeros_like(start.theta)
    for space in spaces:
        space.add_to(total, space.restrict(start.theta))
    assert torch.equal(total, start.theta)
    assert sum(space.size for space in spaces) == len(start.theta)


def test_every_subdomain_moves_and_only_its_own() -> None:
    spaces, start, corrected, _, function = local_phase(Additive)
    for space in spaces:
        assert space.restrict(corrected.correction).abs().min() > 0
    model = network()
    sets = napts.split_layers(model, 4)
    layout = Layout([sets.parameters])
    (alone,) = subspaces(layout, sets.parameter_sets[1:2])
    with torch.no_grad():
        function = Function(problem_of(model), layout, StepContext())
        found = Additive([alone], [LocalLBFGS(3, 3)]).run(function, function.start())
    untouched = found.correction.clone()
    alone.add_to(untouched, -alone.restrict(untouched))
    assert not untouched.any()
    expected = alone.restrict(corrected.correction)
    torch.testing.assert_close(alone.restrict(found.correction), expected)
    assert torch.equal(flat(model), start.theta), "an additive phase leaves the iterate alone"


def test_a_multiplicative_phase_never_raises_the_loss() -> None:
    _, start, _, end, _ = local_phase(Multiplicative)
    assert end.loss < start.loss
    _, records = trained("MSPQN", 10, local_steps=2)
    assert all(r.trial_loss <= r.loss for r in records)


def test_an_additive_correction_is_searched_along() -> None:
    """The sum alone may raise the loss; the half step of ASPQN never does."""

    class Watched(napts.ASPQN):
        halves: tuple[Any, ...] = ()

        def _quasi_newton_step(self, function: Function, at: Point) -> Point:
            self.halves = (*self.halves, at.loss)
            return super()._quasi_newton_step(function, at)

    model = network()
    optimizer = Watched(napts.split_layers(model, 4), local_steps=20)
    before = [optimizer.step(problem_of(model)) for _ in range(8)]
    assert all(half <= loss for half, loss in zip(optimizer.halves, before, strict=True))
    assert sum(half < loss for half, loss in zip(optimizer.halves, before, strict=True)) >= 6


def test_a_correction_that_leads_upwards_is_left_out_and_counted(monkeypatch: Any) -> None:
    model = network()
    optimizer = make("ASPQN", model, local_steps=3)
    optimizer.step(problem_of(model))
    run = Additive.run

    def upwards(self: Additive, function: Function, at: Point) -> Any:
        found = run(self, function, at)
        found.correction.neg_()
        return found

    monkeypatch.setattr(Additive, "run", upwards)
    optimizer.step(problem_of(model))
    assert optimizer.last_step.rejections_proposal == 1
    assert optimizer.last_step.trial_loss < optimizer.last_step.loss


def test_overlaps_are_divided_by_how_many_cover_each_entry() -> None:
    """Not by their mean, which enlarges corrections where layers are in no subdomain."""
    spaces, start, *_ = local_phase(Additive, 2, overlap=1)
    count = covering(spaces, start.theta)
    assert set(count.tolist()) == {1.0, 2.0}
    model = network()
    sets = napts.split_layers(model, 3, split="authors")
    assert len(sets.parameters) > len([p for own in sets.parameter_sets for p in own])
    optimizer = napts.ASPQN(sets, local_steps=3)
    for _ in range(4):
        optimizer.step(problem_of(model))
    assert flat(model).isfinite().all(), "no division by a covering of 0"
    layout = Layout([sets.parameters])
    spaces = subspaces(layout, sets.parameter_sets)
    assert covering(spaces, flat(model)).min() == 1.0


@pytest.mark.parametrize("method", LAYERED)
def test_options_of_the_local_phase(method: str) -> None:
    plain, _ = trained(method, 6, local_steps=3)
    for options in ({"coarse_steps": 3}, {"local_memory": "keep"}, {"local_pairs": 1}):
        model, records = trained(method, 6, local_steps=3, **options)
        assert not torch.equal(flat(plain), flat(model)), options
        assert all(r.trial_loss < r.loss for r in records)
    _, records = trained(method, 2, local_steps=3, coarse_steps=5)
    published = 2 + 3 * (4 if method == "MSPQN" else 1) + 5 * 4 / 4
    assert records[-1].gradients_published == published
    model = network()
    kind: Any = getattr(napts, method)
    sets = ParameterSubsets([[]], [list(model.parameters())])
    kind(sets).step(problem_of(model))
    other = kind(sets, coarse_steps=1)
    other.step(problem_of(model))
    with pytest.raises(ValueError, match="Invalid coarse_steps: 1, must be 0 with sets other"):
        other.step(problem_of(model))
