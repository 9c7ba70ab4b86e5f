"""ASPQN and MSPQN, their baselines, what they count, and what other code has got wrong."""

import copy
import io
import itertools
import math
import pickle
from typing import Any

import numpy as np
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
from tests.reference.spqn import Reference

DOUBLE = torch.float64
LAYERED = ("ASPQN", "MSPQN")
ALL = (*LAYERED, "MomentumLBFGS", "AdamLBFGS", "SSBroyden")


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    layers = [nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 5), nn.Tanh()]
    return nn.Sequential(*layers, nn.Linear(5, 1)).to(DOUBLE)


def samples() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    inputs = torch.randn(40, 2, generator=generator, dtype=DOUBLE)
    return inputs, torch.sin(2 * inputs[:, :1]) * inputs[:, 1:]


def problem_of(model: nn.Module) -> napts.Batch:
    def loss(data: tuple[Tensor, Tensor]) -> Tensor:
        return (model(data[0]) - data[1]).square().mean()

    batch = napts.Batch(loss, samples())
    batch.function_key = "the same"
    return batch


def make(method: str, model: nn.Module, subdomains: int = 4, **options: Any) -> Any:
    kind: Any = getattr(napts, method)
    if method in LAYERED:
        return kind(napts.split_layers(model, subdomains), **options)
    return kind(model.parameters(), **options)


def flat(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])


def trained(method: str, steps: int, subdomains: int = 4, **options: Any) -> tuple[Any, Any]:
    model = network()
    optimizer = make(method, model, subdomains, **options)
    records = []
    for _ in range(steps):
        optimizer.step(problem_of(model))
        records.append(optimizer.last_step)
    return model, records


# --- trajectories ------------------------------------------------------------------------------


def as_function(model: nn.Module) -> Any:
    batch = problem_of(model)
    parameters = list(model.parameters())

    def function(theta: np.ndarray) -> tuple[float, np.ndarray]:
        vector = torch.from_numpy(theta.copy())
        sizes = [p.numel() for p in parameters]
        with torch.no_grad():
            for p, part in zip(parameters, vector.split(sizes), strict=True):
                p.copy_(part.view_as(p))
        loss = batch()
        gradient = torch.autograd.grad(loss, parameters)
        return loss.item(), torch.cat([g.reshape(-1) for g in gradient]).numpy()

    return function


@pytest.mark.parametrize(
    ("method", "kind"),
    [("ASPQN", "additive"), ("MSPQN", "multiplicative"), ("MomentumLBFGS", "none")],
)
def test_trajectories_are_those_of_the_formulas(method: str, kind: str) -> None:
    model = network()
    optimizer = make(method, model, 3, **({"local_steps": 4} if kind != "none" else {}))
    other = network()
    sizes = [sum(p.numel() for p in layer.parameters()) for layer in other[::2]]
    ends = np.cumsum([0, sizes[0] + sizes[1], sizes[2], sizes[3]])
    sets = [np.arange(a, b) for a, b in itertools.pairwise(ends)]
    reference = Reference(as_function(other), sets, kind, local_steps=4)
    theta = flat(other).numpy()
    for _ in range(5):
        optimizer.step(problem_of(model))
        theta = reference.step(theta)
        np.testing.assert_allclose(flat(model).numpy(), theta, rtol=0, atol=1e-7)


def test_without_a_local_phase_it_is_lbfgs_bit_for_bit() -> None:
    for momentum in (1.0, 0.9):
        plain, _ = trained("MomentumLBFGS", 12, momentum=momentum)
        for method in LAYERED:
            model, _ = trained(method, 12, 1, local_steps=0, momentum=momentum)
            assert torch.equal(flat(model), flat(plain))


def test_lbfgs_is_torch_s() -> None:
    ours, _ = trained("MomentumLBFGS", 12, momentum=1.0, pairs=4)
    model = network()
    theirs = torch.optim.LBFGS(
        model.parameters(),
        max_iter=1,
        max_eval=26,
        history_size=4,
        line_search_fn="strong_wolfe",
        tolerance_grad=0,
        tolerance_change=0,
    )
    batch = problem_of(model)

    def closure() -> Tensor:
        theirs.zero_grad()
        loss = batch()
        loss.backward()
        return loss

    for _ in range(12):
        theirs.step(closure)  # pyright: ignore[reportArgumentType]
    torch.testing.assert_close(flat(ours), flat(model), rtol=0, atol=1e-8)


@pytest.mark.parametrize("method", ALL)
def test_they_train(method: str) -> None:
    options = {"adam_steps": 5} if method == "AdamLBFGS" else {}
    _, records = trained(method, 30, **options)
    assert records[-1].trial_loss < 0.2 * records[0].loss
    losses = [r.loss for r in records]
    assert losses == sorted(losses, reverse=True) or method == "AdamLBFGS"
    assert [r.trial_loss for r in records[:-1]] == losses[1:]


def test_adam_comes_first() -> None:
    ours, _ = trained("AdamLBFGS", 7, adam_steps=7, adam_lr=0.01)
    model = network()
    theirs, batch = torch.optim.Adam(model.parameters(), lr=0.01), problem_of(model)
    for _ in range(7):
        theirs.zero_grad()
        batch().backward()
        theirs.step()
    torch.testing.assert_close(flat(ours), flat(model))
    longer, records = trained("AdamLBFGS", 8, adam_steps=7, adam_lr=0.01)
    assert records[-1].trial_loss < records[-1].loss
    assert not torch.equal(flat(ours), flat(longer))


def test_quadratics_end_where_they_should_with_self_scaled_broyden() -> None:
    torch.manual_seed(1)
    root = torch.randn(10, 10, dtype=DOUBLE)
    x = nn.Parameter(torch.ones(10, dtype=DOUBLE))
    optimizer = napts.SSBroyden([x])
    for _ in range(60):
        loss = optimizer.step(lambda: 0.5 * (root @ x).square().sum() + x.sum())
    hessian = root.T @ root
    best = -0.5 * torch.linalg.solve(hessian, torch.ones(10, dtype=DOUBLE)).sum().item()
    assert loss == pytest.approx(best, rel=1e-9)


# --- the local phase ---------------------------------------------------------------------------


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


def local_phase(kind: Any, subdomains: int = 4, overlap: int = 0) -> Any:
    model = network()
    sets = napts.split_layers(model, subdomains, overlap=overlap)
    layout = Layout([sets.parameters])
    spaces = subspaces(layout, sets.parameter_sets)
    solvers = [LocalLBFGS(3, 3) for _ in spaces]
    with torch.no_grad():
        function = Function(problem_of(model), layout, StepContext())
        start = function.start()
        corrected = kind(spaces, solvers).run(function, start)
        end = function.at(start.theta + corrected.correction)
    return spaces, start, corrected, end, function


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


# --- what is counted ---------------------------------------------------------------------------


class Counting(napts.Batch):
    """Counts its evaluations and the gradients that reach the parameters."""

    def __init__(self, model: nn.Module) -> None:
        inner = problem_of(model)
        super().__init__(inner._loss, inner._samples)
        self.function_key, self.calls = "the same", 0

    def __call__(self) -> Tensor:
        self.calls += 1
        return super().__call__()


@pytest.mark.parametrize("method", ALL)
def test_every_gradient_is_counted_those_of_searches_too(method: str) -> None:
    model = network()
    batch, optimizer = Counting(model), make(method, model)
    total = 0.0
    for _ in range(6):
        optimizer.step(batch)
        record = optimizer.last_step
        total += record.backwards
        assert record.forwards == record.backwards
        assert batch.calls == total
    assert total > 6


def test_the_three_counts() -> None:
    _, plain = trained("MomentumLBFGS", 5)
    assert all(r.gradients_published == 1 for r in plain)
    assert all(r.gradients_concurrent == r.backwards for r in plain)
    _, additive = trained("ASPQN", 5, local_steps=4)
    assert [r.gradients_published for r in additive] == [1, 6, 6, 6, 6]
    for r in additive[1:]:
        # Four subdomains, of which the first local gradient is known.
        assert r.gradients_concurrent < r.backwards
        assert r.backwards >= 4 * 4 + 2
        assert r.gradients_concurrent >= 4 + 2
    _, sequential = trained("MSPQN", 5, local_steps=4)
    assert [r.gradients_published for r in sequential] == [1, 18, 18, 18, 18]
    for r in sequential[1:]:
        assert r.gradients_concurrent == r.backwards >= 4 * 4 + 3 + 2
    sizes = [18, 42, 35, 6]
    assert additive[1].update_cost == pytest.approx(1 + 4 * max(sizes) / sum(sizes))
    assert sequential[1].update_cost == pytest.approx(1 + 4)
    assert plain[1].update_cost == 1
    _, dense = trained("SSBroyden", 2)
    assert dense[1].update_cost is None
    assert "update_cost" not in dense[1].as_dict()


def test_what_is_known_is_not_evaluated_again_and_only_then() -> None:
    def gradients(key: str | None) -> float:
        model = network()
        optimizer = make("MomentumLBFGS", model)
        for _ in range(3):
            batch = problem_of(model)
            batch.function_key = key
            optimizer.step(batch)
        return optimizer.last_step.backwards

    assert gradients("a") == gradients(None) - 1


@pytest.mark.parametrize("change", ["parameters", "key"])
def test_what_has_changed_is_evaluated(change: str) -> None:
    model = network()
    optimizer = make("MomentumLBFGS", model)
    optimizer.step(problem_of(model))
    batch = problem_of(model)
    if change == "key":
        batch._loss = lambda data: 2 * (model(data[0]) - data[1]).square().mean()
        batch.function_key = "another"
    else:
        with torch.no_grad():
            next(model.parameters()).add_(1e-3)
    expected = batch().item()
    assert optimizer.step(batch) == expected
    assert optimizer.last_step.backwards >= 2


# --- what other code has got wrong -------------------------------------------------------------


def test_the_slope_is_that_of_what_is_searched_along(monkeypatch: Any) -> None:
    """Not that of the quasi-Newton direction, which is another one with momentum."""
    from napts.optim.quasi_newton.wolfe import StrongWolfe

    seen = []
    search = StrongWolfe.search

    def watched(
        self: Any, evaluate: Any, start: Any, direction: Tensor, length: float = 1.0
    ) -> Any:
        seen.append((start.slope, torch.dot(start.gradient, direction).item()))
        return search(self, evaluate, start, direction, length)

    monkeypatch.setattr(StrongWolfe, "search", watched)
    trained("ASPQN", 4, local_steps=2)
    assert len(seen) > 10
    assert all(given == pytest.approx(own, rel=1e-12) for given, own in seen)


def test_pairs_belong_to_the_global_step_alone() -> None:
    """Their change of the gradient is not mixed with that of the preconditioner's step."""
    model = network()
    optimizer = make("ASPQN", model, local_steps=4)
    ends: list[tuple[Point, Point]] = []
    inner = optimizer._quasi_newton_step

    def watched(function: Function, at: Point) -> Point:
        ends.append((at, inner(function, at)))
        return ends[-1][1]

    optimizer._quasi_newton_step = watched
    for _ in range(3):
        optimizer.step(problem_of(model))
    for (half, end), (step, change, _) in zip(ends, optimizer._curvature._pairs, strict=True):
        torch.testing.assert_close(step, end.theta - half.theta, rtol=0, atol=1e-12)
        assert torch.equal(change, end.gradient - half.gradient)
    assert not torch.equal(ends[1][0].theta, ends[0][1].theta), "the preconditioner has moved it"


def test_the_baseline_has_the_memory_of_the_methods() -> None:
    for method in ("ASPQN", "MSPQN", "MomentumLBFGS"):
        optimizer = make(method, network())
        assert optimizer.param_groups[0]["pairs"] == 3
        assert optimizer.param_groups[0]["momentum"] == 0.9
    _, records = trained("MomentumLBFGS", 8, pairs=1)
    _, others = trained("MomentumLBFGS", 8, pairs=3)
    assert records[-1].trial_loss != others[-1].trial_loss


def test_there_is_no_learning_rate_that_would_be_ignored() -> None:
    for method in ("ASPQN", "MSPQN", "MomentumLBFGS", "SSBroyden"):
        with pytest.raises(TypeError, match="unexpected keyword argument 'lr'"):
            make(method, network(), lr=0.1)


# --- as optimizers -----------------------------------------------------------------------------


@pytest.mark.parametrize("method", ALL)
def test_states_go_on_bit_for_bit(method: str) -> None:
    options: dict[str, Any] = {"adam_steps": 5} if method == "AdamLBFGS" else {}
    if method in LAYERED:
        options = {"local_steps": 2, "local_memory": "keep"}
    model, records = trained(method, 8, **options)
    half = network()
    optimizer = make(method, half, **options)
    for _ in range(4):
        optimizer.step(problem_of(half))
    buffer = io.BytesIO()
    torch.save([half.state_dict(), optimizer.state_dict()], buffer)
    buffer.seek(0)
    weights, state = torch.load(buffer, weights_only=True)
    resumed = network(1)
    resumed.load_state_dict(weights)
    other = make(method, resumed, **options)
    other.load_state_dict(state)
    for record in records[4:]:
        other.step(problem_of(resumed))
        assert other.last_step == record
    assert torch.equal(flat(resumed), flat(model))


@pytest.mark.parametrize("method", ALL)
def test_copies_and_pickles_go_on(method: str) -> None:
    model = network()
    optimizer = make(method, model)
    optimizer.step(problem_of(model))
    for twin, other in (
        copy.deepcopy((model, optimizer)),
        pickle.loads(pickle.dumps((model, optimizer))),
    ):
        for _ in range(2):
            other.step(problem_of(twin))
        assert not torch.equal(flat(twin), flat(model))
        assert other.last_step.trial_loss < optimizer.last_step.trial_loss


@pytest.mark.parametrize("method", ALL)
def test_a_loss_that_is_not_finite_moves_nothing(method: str) -> None:
    model = network()
    optimizer = make(method, model)
    optimizer.step(problem_of(model))
    before, good = flat(model), problem_of(model)
    assert math.isnan(optimizer.step(lambda: good() * math.nan))
    assert torch.equal(flat(model), before)
    assert not optimizer.last_step.accepted
    expected = good().item()
    assert optimizer.step(problem_of(model)) == expected
    assert flat(model).isfinite().all()


@pytest.mark.parametrize("method", ALL)
def test_a_closure_that_fails_leaves_no_trace(method: str) -> None:
    model = network()
    optimizer = make(method, model)
    for _ in range(2):
        optimizer.step(problem_of(model))
    before, state = flat(model), copy.deepcopy(optimizer.state_dict())
    good, calls = problem_of(model), [0]

    def fails() -> Tensor:
        calls[0] += 1
        if calls[0] > 2:
            raise KeyError("out")
        return good() * 1e3

    def until_it_fails() -> None:
        nonlocal before, state
        while True:
            before, state = flat(model), copy.deepcopy(optimizer.state_dict())
            optimizer.step(fails)

    with pytest.raises(KeyError):
        until_it_fails()
    assert torch.equal(flat(model), before)
    now = optimizer.state_dict()["state"][0]
    torch.testing.assert_close(now["curvature"], state["state"][0]["curvature"], rtol=0, atol=0)
    assert now["iterations"] == state["state"][0]["iterations"]


def test_options_are_checked_and_may_be_edited() -> None:
    with pytest.raises(ValueError, match=r"Invalid momentum: 0\.0, must be in \(0, 1\]"):
        make("ASPQN", network(), momentum=0.0)
    with pytest.raises(
        ValueError, match="Invalid local_memory: lost, must be one of restart, keep"
    ):
        make("MSPQN", network(), local_memory="lost")
    with pytest.raises(TypeError, match="Did you mean 'local_steps'"):
        make("MSPQN", network(), local_step=3)
    with pytest.raises(ValueError, match=r"Invalid sets: generator, must be sets of parameters"):
        napts.ASPQN(network().parameters())  # pyright: ignore[reportArgumentType]
    model = network()
    optimizer = make("ASPQN", model)
    optimizer.step(problem_of(model))
    optimizer.param_groups[0]["local_steps"] = 0
    optimizer.step(problem_of(model))
    assert optimizer.last_step.gradients_published == 1
    optimizer.param_groups[0]["momentum"] = 2.0
    with pytest.raises(ValueError, match="Invalid momentum"):
        optimizer.step(problem_of(model))


def test_freezing_a_layer_is_followed() -> None:
    model = network()
    optimizer = make("ASPQN", model, local_steps=2)
    for _ in range(2):
        optimizer.step(problem_of(model))
    model[2].requires_grad_(False)
    frozen = model[2].weight.clone()
    for _ in range(2):
        optimizer.step(problem_of(model))
    assert torch.equal(model[2].weight, frozen)
    assert optimizer.last_step.trial_loss < optimizer.last_step.loss
    with pytest.raises(ValueError, match="takes no further parameter groups"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))]})


def test_too_large_networks_are_refused_where_a_matrix_is_held() -> None:
    x = nn.Parameter(torch.zeros(20_001))
    with pytest.raises(ValueError, match="found 20001 parameters, allowed: at most 20000"):
        napts.SSBroyden([x]).step(lambda: (x - 1).square().sum())
