"""Local solvers: members of the family fit in every preconditioner, and so does a further one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import napts
from napts.optim import vectors
from napts.optim.acceptance import RadiusRule
from napts.optim.cadam import CAdam
from napts.optim.composition import Composition
from napts.optim.exact import ExactSubdomains
from napts.optim.local_model import FirstOrder
from napts.optim.local_solver import Allowance, Found, LocalProblem, LocalSolver
from napts.optim.local_trust_region import LocalTrustRegion
from napts.optim.objective import Objective
from napts.optim.record import PassCounts
from napts.optim.schwarz import AdditiveSchwarz
from napts.optim.shards import Shards
from napts.optim.vectors import Layout
from tests.helpers.networks import batch, closure, plain

RULE = RadiusRule(1e-6, 1.0, 0.5, 2.0, 0.25, 0.75)
RATE, STEPS, RADIUS = 0.3, 3, 0.5


@dataclass(frozen=True, slots=True)
class GradientSteps(LocalSolver[LocalProblem]):
    """A further member: gradient steps, each cut to its share of the radius."""

    steps: int = STEPS
    rate: float = RATE

    def minimise(self, problem: LocalProblem, allowance: Allowance) -> Found:
        gradient = problem.slope
        longest = allowance.longest(self.first(problem), problem.norm, self.steps)
        for turn in range(self.steps):
            if turn:
                gradient = problem.gradient()
            for out, block in zip(problem.scratch(), gradient, strict=True):
                out.copy_(block)
            (length,) = vectors.to_host([vectors.norm(gradient, problem.norm)])
            problem.move(-min(self.rate, float(longest) / length))
        return Found()


def _by_hand(
    closure: Callable[[], Tensor], parameters: Sequence[Tensor], longest: float
) -> list[Tensor]:
    """Take the same steps over some parameters; return where they lead and go back."""
    before = [p.detach().clone() for p in parameters]
    for _ in range(STEPS):
        with torch.enable_grad():
            found = torch.autograd.grad(closure(), list(parameters))
        length = float(torch.cat([g.reshape(-1) for g in found]).norm())
        for parameter, gradient in zip(parameters, found, strict=True):
            parameter.sub_(min(RATE, longest / STEPS / length) * gradient)
    after = [p.detach().clone() for p in parameters]
    for parameter, old in zip(parameters, before, strict=True):
        parameter.copy_(old)
    return after


def _objective(
    batch: Any, sets: Sequence[Sequence[Tensor]], parts: int = 0
) -> tuple[Objective, PassCounts]:
    counts = PassCounts()
    return Objective(batch, Layout(sets), FirstOrder(), counts, parts=parts), counts


@torch.no_grad()
@pytest.mark.parametrize("shares", ["equal", "joint"])
def test_gradient_steps_in_additive_schwarz(shares: Any) -> None:
    model = plain()
    stages = napts.partition_layers(model, 1)
    objective, counts = _objective(closure(model, batch()), stages.parameter_sets)
    schwarz = AdditiveSchwarz(stages, GradientSteps(), last_block_exact=True, shares=shares)
    point = objective.linearise(schwarz.captured)
    proposal = schwarz.propose(objective, point, RADIUS)
    assert counts.local_passes == STEPS - 1
    objective.layout.write(point.theta)
    expected = _by_hand(closure(model, batch()), objective.layout.parameters, RADIUS)
    torch.testing.assert_close(proposal.theta, objective.layout.flatten(expected))


@torch.no_grad()
def test_gradient_steps_in_exact_subdomains() -> None:
    model = plain()
    sets = napts.deal_parameters(model, 3).parameter_sets
    objective, counts = _objective(closure(model, batch()), sets)
    point = objective.linearise(None)
    exact = ExactSubdomains(GradientSteps(), FirstOrder())
    proposal = exact.propose(objective, point, RADIUS)
    # A step that is not judged costs no value; each gradient away from the iterate a pass.
    assert (counts.forwards, counts.backwards) == (1 + 3 * (STEPS - 1), 1 + 3 * (STEPS - 1))
    objective.layout.write(point.theta)
    share = RADIUS / 3**0.5
    expected = [_by_hand(closure(model, batch()), own, share) for own in sets]
    flat = [objective.layout.flatten_block(own) for own in expected]
    torch.testing.assert_close(proposal.theta, flat)


@torch.no_grad()
@pytest.mark.parametrize("consistent", [False, True])
def test_gradient_steps_on_shards(consistent: bool) -> None:
    model = plain()
    parameters = list(model.parameters())
    inputs, targets = batch()
    whole = napts.SplitBatch(lambda x, y: nn.functional.cross_entropy(model(x), y), inputs, targets)
    objective, counts = _objective(whole, [parameters], parts=2)
    point = objective.linearise(None)
    shards = Shards(2, GradientSteps(), FirstOrder(), "l2", consistent)
    proposal = shards.propose(objective, point, RADIUS)
    assert proposal.predicted_reduction is None  # no shard knows what it has gained
    assert (counts.forwards, counts.backwards) == (STEPS, STEPS)
    objective.layout.write(point.theta)
    start, total = point.theta[0], point.theta[0].clone()
    for index in range(2):
        with torch.enable_grad():
            own = torch.autograd.grad(whole.part(index, 2), parameters)
        tilt = point.model.gradient[0] - objective.layout.flatten(own)[0]

        def loss(index: int = index, tilt: Tensor = tilt) -> Tensor:
            flat = torch.cat([p.reshape(-1) for p in parameters])
            return whole.part(index, 2) + consistent * (tilt @ (flat - start))

        found = _by_hand(loss, parameters, RADIUS / 2)
        total += objective.layout.flatten(found)[0] - start
    torch.testing.assert_close(proposal.theta[0], total)


class _Own(napts.NAPTS):
    """NAPTS with another local solver, without a change of the package."""

    def _compose(self, options: dict[str, Any]) -> Composition:
        whole = super()._compose(options)
        assert isinstance(whole.preconditioner, AdditiveSchwarz)
        schwarz = replace(whole.preconditioner, solver=GradientSteps())
        return replace(whole, preconditioner=schwarz)


def test_a_method_with_a_local_solver_of_its_own_trains_and_is_saved() -> None:
    models = [plain(), plain()]
    first, second = (_Own(napts.partition_layers(model, 3)) for model in models)
    data = batch()
    losses = [first.step(closure(models[0], data)) for _ in range(10)]
    assert losses[-1] < losses[0]
    models[1].load_state_dict(models[0].state_dict())
    second.load_state_dict(first.state_dict())
    assert second.step(closure(models[1], data)) == first.step(closure(models[0], data))


@torch.no_grad()
def test_cadam_runs_in_exact_subdomains_too() -> None:
    model = plain()
    sets = napts.deal_parameters(model, 3).parameter_sets
    objective, _ = _objective(closure(model, batch()), sets)
    point = objective.linearise(None)
    cadam = CAdam(STEPS, (0.9, 0.999), 1e-8, "scale", "l2")
    theta = ExactSubdomains(cadam, FirstOrder()).propose(objective, point, RADIUS).theta
    length = float(vectors.norm(vectors.subtract(theta, point.theta), "l2"))
    assert 0 < length <= RADIUS * (1 + 1e-12)
    assert objective.loss_at(theta) < float(point.loss)


def test_a_solver_that_wants_values_is_refused_where_there_are_none() -> None:
    stages = napts.partition_layers(plain(), 2)
    with pytest.raises(ValueError, match="AdditiveSchwarz: found LocalTrustRegion as local solver"):
        AdditiveSchwarz(stages, LocalTrustRegion(3, RULE))
