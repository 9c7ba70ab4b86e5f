"""The four families on their own: local model, acceptance, preconditioner, correction."""

import inspect
import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar, get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import napts
from napts.optim import (
    algorithm,
    composition,
    correction,
    exact,
    schwarz,
    shards,
    trials,
    vectors,
)
from napts.optim.acceptance import FAILED, RadiusRule, Reference, accept_finite, judge
from napts.optim.cadam import CAdam, Cap
from napts.optim.composition import Composition
from napts.optim.correction import Candidate, ConvexCombinations, Correction, Rejected
from napts.optim.history import ConstantMemory, Success, Window
from napts.optim.local_model import Direction, FirstOrder, LocalModel, Step
from napts.optim.moments import Moments
from napts.optim.regions import Region, Regions
from napts.optim.subdomains import share_of_radius
from napts.optim.vectors import Norm
from tests.helpers.networks import METHODS, batch, closure, make, plain, same, snapshot

LOSSES = st.floats(-1e3, 1e3)
PROMISES = st.floats(1e-9, 1e3)
ETA = st.floats(0.01, 0.9)
NORMS: tuple[Norm, ...] = get_args(Norm)
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)


def _gradient(seed: int = 0) -> vectors.Vector:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, generator=generator, dtype=torch.float64) for n in (5, 40, 3)]


# --- local model ---------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("radius", [1e-3, 0.7])
def test_the_promise_is_the_models(norm: Norm, direction: Direction, radius: float) -> None:
    """m(0) - m(s) = -g^T s for every norm and direction; the step stays in the region."""
    gradient = _gradient()
    step = FirstOrder(norm, direction).at(gradient).minimise(radius)
    expected = -sum(float(g @ s) for g, s in zip(gradient, step.vector, strict=True))
    assert float(step.predicted_reduction) == pytest.approx(expected, rel=1e-12)
    assert expected > 0
    assert float(vectors.norm(step.vector, norm)) <= radius * (1 + 1e-12)


@pytest.mark.parametrize(("norm", "direction"), [("l2", "scaled_gradient"), ("inf", "sign")])
def test_the_minimiser_of_the_linear_model(norm: Norm, direction: Direction) -> None:
    """No other feasible step promises more."""
    gradient = _gradient()
    model = FirstOrder(norm, direction).at(gradient)
    best = float(model.minimise(1.0).predicted_reduction)
    for seed in range(200):
        other = _gradient(seed + 1)
        other = vectors.scale(1 / float(vectors.norm(other, norm)), other)
        assert float(model.reduction(other)) <= best


@pytest.mark.parametrize("norm", NORMS)
def test_blocks_do_not_change_norms_and_products(norm: Norm) -> None:
    gradient, other = _gradient(), _gradient(1)
    whole, whole_other = [torch.cat(gradient)], [torch.cat(other)]
    assert vectors.norm(gradient, norm) == pytest.approx(vectors.norm(whole, norm))
    assert vectors.dot(gradient, other) == pytest.approx(vectors.dot(whole, whole_other))


def test_the_norm_of_a_lifted_step() -> None:
    """||sum R_d^T s_d|| is the largest of the parts, or the root of the sum of squares."""
    parts = _gradient()
    assert vectors.norm(parts, "inf") == max(p.abs().max() for p in parts)
    assert vectors.norm(parts, "l2") ** 2 == pytest.approx(
        sum(float(p @ p) for p in parts), rel=1e-12
    )


# --- acceptance ----------------------------------------------------------------------------------


@given(LOSSES, LOSSES, PROMISES, LOSSES, st.floats(0, 1e3), ETA)
def test_the_test_is_the_larger_ratio(
    loss: float, trial: float, promise: float, past: float, since: float, eta: float
) -> None:
    """Division free, and still the ratios of eq. (9)."""
    verdict = judge(loss, trial, promise, Reference(past, since), eta)
    current, historical = (loss - trial) / promise, (past - trial) / (since + promise)
    larger = max(current, historical)
    if abs(larger - eta) > 1e-9 * max(1, abs(larger)):
        assert verdict.accepted == (larger >= eta)
        assert verdict.reaches(eta) == verdict.accepted
    assert verdict.ratio_current == pytest.approx(current)
    assert verdict.ratio_history == pytest.approx(historical)
    if verdict.nonmonotone:
        assert verdict.ratio_current < eta * (1 + 1e-9)


@given(LOSSES, LOSSES, PROMISES, ETA)
def test_against_itself_the_test_is_monotone(
    loss: float, trial: float, promise: float, eta: float
) -> None:
    verdict = judge(loss, trial, promise, Reference(loss, 0.0), eta)
    assert not verdict.nonmonotone
    assert verdict.ratio_current == verdict.ratio_history


@pytest.mark.parametrize("trial", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("promise", [1.0, 0.0, -1.0, math.nan, math.inf])
def test_no_finite_loss_no_acceptance(trial: float, promise: float) -> None:
    assert judge(1.0, trial, promise, Reference(5.0, 0.0), 0.1) is FAILED
    assert accept_finite(1.0, trial, promise) is FAILED


@pytest.mark.parametrize("promise", [0.0, -1.0, 1e-12, math.nan, math.inf])
def test_no_promise_no_acceptance(promise: float) -> None:
    """Never a ratio of infinity: one public code accepts when the prediction vanishes."""
    assert judge(1.0, 0.5, promise, Reference(5.0, 0.0), 0.1) is FAILED


@given(st.lists(st.tuples(st.floats(0.01, 2.0), st.floats(-1, 1)), max_size=60), ETA)
def test_the_windows_maximum_never_rises(moves: list[tuple[float, float]], eta: float) -> None:
    """Invariant (ii) of the windowed rule, and (i): what an accepted step guarantees."""
    window, loss = Window(4), 10.0
    highest = window.reference(loss)[0].loss
    for promise, change in moves:
        reference, _ = window.reference(loss)
        verdict = judge(loss, loss - change, promise, reference, eta)
        if not verdict.accepted:
            continue
        gained = reference.loss - (loss - change)
        assert change >= eta * promise or gained >= eta * (reference.predicted + promise)
        window.push(Success(loss, loss - change, promise))
        loss -= change
        assert window.reference(loss)[0].loss <= highest
        highest = window.reference(loss)[0].loss


@given(st.lists(st.tuples(st.floats(0.01, 2.0), st.floats(-1, 1)), max_size=40), ETA)
def test_memory_zero_is_monotone(moves: list[tuple[float, float]], eta: float) -> None:
    """Window 0, constant memory 0 and the classical test decide alike."""
    histories, loss = (Window(0), ConstantMemory(0)), 3.0
    for promise, change in moves:
        references = [history.reference(loss)[0] for history in histories]
        assert references == [Reference(loss, 0.0)] * 2
        if judge(loss, loss - change, promise, references[0], eta).accepted:
            for history in histories:
                history.push(Success(loss, loss - change, promise))
            loss -= change


def test_of_equal_losses_the_most_recent_is_the_reference() -> None:
    window = Window(3)
    for promise in (1.0, 2.0, 4.0):
        window.push(Success(7.0, 6.0, promise))
    assert window.reference(7.0)[0] == Reference(7.0, 0.0)
    assert window.reference(5.0)[0] == Reference(7.0, 4.0)


def test_the_window_forgets_the_oldest() -> None:
    window = Window(2)
    for loss, promise in ((9.0, 1.0), (5.0, 2.0), (4.0, 3.0)):
        window.push(Success(loss, loss - 1, promise))
    assert window.reference(1.0)[0] == Reference(5.0, 5.0)
    window.clear()
    assert window.reference(1.0)[0] == Reference(1.0, 0.0)


def test_constant_memory_by_hand() -> None:
    """Toint 1997, eqs. (33) to (40), worked out for a short run with l_max = 2."""
    memory = ConstantMemory(2)
    assert memory.reference(10.0)[0] == Reference(10.0, 0.0)
    memory.push(Success(10.0, 8.0, 3.0))  # new minimum
    assert memory.reference(8.0)[0] == Reference(10.0, 3.0)
    memory.push(Success(8.0, 9.0, 1.0))  # worse, the worst since the minimum
    assert memory.reference(9.0)[0] == Reference(10.0, 4.0)
    memory.push(Success(9.0, 8.5, 2.0))  # second success without a minimum: reference renewed
    assert memory.reference(8.5)[0] == Reference(9.0, 2.0)


@given(st.floats(1e-3, 2.0), LOSSES, PROMISES)
def test_the_radius_rule(radius: float, change: float, promise: float) -> None:
    rule = RadiusRule(minimum=1e-3, maximum=2.0, shrink=0.5, grow=2.0, eta_1=0.25, eta_2=0.75)
    updated = rule.update(radius, judge(0.0, -change, promise, Reference(0.0, 0.0), 0.25))
    if change < 0.25 * promise:
        assert updated == max(1e-3, radius / 2)
    elif change > 0.75 * promise:
        assert updated == min(2.0, radius * 2)
    else:
        assert updated == radius
    assert 1e-3 <= updated <= 2.0


# --- preconditioner ------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("cap", get_args(Cap))
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_local_steps_stay_in_their_share(norm: Norm, cap: Cap, steps: int) -> None:
    """||s^(d)|| <= share, and the lifted step keeps to the radius, for hostile gradients too."""
    solver = CAdam(steps, (0.9, 0.999), 1e-8, cap, norm)
    radius, blocks = 0.3, _gradient()
    length = share_of_radius(norm, radius, len(blocks)) / steps
    moved = []
    for block in blocks:
        position = torch.zeros_like(block)
        gradients = [block, 1e6 * block, -1e-9 * block, block, 1e3 * block.flip(0)]
        moments, direction = Moments.zeros(block), torch.empty_like(block)
        for gradient in gradients[:steps]:
            solver.direction(moments, gradient, direction)
            position += solver.truncate([direction], length) * direction
        assert position.abs().max() > 0
        moved.append(position)
    assert float(vectors.norm(moved, norm)) <= radius * (1 + 1e-12)


def test_an_unbounded_cadam_is_adam() -> None:
    parameter = torch.nn.Parameter(torch.tensor([3.0, -2.0, 0.5], dtype=torch.float64))
    adam = torch.optim.Adam([parameter], lr=1.0, betas=(0.9, 0.99), eps=1e-6)
    position = parameter.detach().clone()
    solver = CAdam(7, (0.9, 0.99), 1e-6, "scale", "l2")
    moments, direction = Moments.zeros(position), torch.empty_like(position)
    for _ in range(7):
        solver.direction(moments, 2 * position, direction)
        position += solver.truncate([direction], 1e9) * direction
    for _ in range(7):
        parameter.grad = 2 * parameter.detach()
        adam.step()
    torch.testing.assert_close(position, parameter.detach(), rtol=1e-12, atol=1e-12)


# --- correction ----------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_mixtures_are_feasible_and_end_in_the_models_step(norm: Norm, direction: Direction) -> None:
    model = FirstOrder(norm, direction).at(_gradient())
    radius, raw = 0.5, _gradient(4)
    vector = vectors.scale(radius / float(vectors.norm(raw, norm)), raw)
    proposal = Step(vector, model.reduction(vector))
    correction = ConvexCombinations((0.2, 0.4, 0.6, 0.8, 1.0))
    rejected = Rejected(proposal, float(proposal.predicted_reduction), radius)
    candidates = list(correction.candidates(model, rejected, Region(radius)))
    for step, made_for, *_ in candidates:
        assert made_for == radius
        assert float(vectors.norm(step.vector, norm)) <= radius * (1 + 1e-12)
        assert float(step.predicted_reduction) == pytest.approx(
            float(model.reduction(step.vector)), abs=1e-12
        )
    step, _, weight, _ = candidates[-1]
    assert weight == 1.0
    own = model.minimise(radius)
    torch.testing.assert_close(step.vector, own.vector)
    assert float(step.predicted_reduction) > 0


@dataclass(frozen=True, slots=True)
class _Halves(Correction):
    """A further member: the proposal, halved and halved again."""

    each_moves_radius: ClassVar[bool] = False

    def candidates(self, model: LocalModel, rejected: Rejected, region: Region) -> Any:
        for share in (0.5, 0.25, 0.125):
            yield Candidate(model.shorten(rejected.known, share), share * rejected.radius)


class _Halved(napts.NAPTS):
    """NAPTS with another correction, without a change of the package."""

    correction: ClassVar[type[Correction]] = _Halves

    def _compose(self, options: dict[str, Any]) -> Composition:
        return replace(super()._compose(options), correction=self.correction())


class _EachTime(_Halves):
    each_moves_radius: ClassVar[bool] = True


@pytest.mark.parametrize("each", [False, True])
def test_a_correction_of_ones_own_needs_no_change_of_the_iteration(
    each: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Method(_Halved):
        correction = _EachTime if each else _Halves

    model = plain()
    optimizer = Method(napts.partition_layers(model, 2), radius=8.0, radius_max=8.0)
    updates: list[Any] = []
    update = Regions.update
    monkeypatch.setattr(Regions, "update", lambda *args: (updates.append(args), update(*args))[1])
    optimizer.step(closure(model, batch()))
    assert optimizer.last_step is not None
    trials = optimizer.last_step.trials
    proposal, *others = [trial for trial in trials if trial.phase != "global"]
    assert not proposal.accepted
    assert others
    assert [trial.radius for trial in others] == [4.0, 2.0, 1.0][: len(others)]
    assert all(not trial.accepted for trial in others[:-1])
    in_phase = 1 + len(others) if each else 1
    assert len(updates) == in_phase + sum(trial.phase == "global" for trial in trials)


def test_the_iteration_asks_nobody_of_which_kind_he_is() -> None:
    for module in (algorithm, trials, composition, correction, exact, shards, schwarz):
        assert "isinstance" not in inspect.getsource(module), module.__name__


# --- compositions --------------------------------------------------------------------------------


@pytest.mark.parametrize(("general", "special"), [("NAPTS", "APTS"), ("NTR", "TR")])
@pytest.mark.parametrize("history", ["windowed", "constant-memory"])
def test_memory_zero_recovers_the_monotone_method(general: str, special: str, history: str) -> None:
    """NAPTS section 2.3, bit for bit."""
    first, second = plain(), plain()
    one = make(general, first, window=0, history=history, radius=1.0, radius_min=0.2)
    two = make(special, second, radius=1.0, radius_min=0.2)
    for step in range(40):
        data = batch(step % 3)
        assert one.step(closure(first, data)) == two.step(closure(second, data))
        assert one.last_step == two.last_step
    assert same(snapshot(first), snapshot(second))


def test_a_window_changes_decisions() -> None:
    """The histories are not idle: somewhere a step is taken that the current loss refuses."""
    model = plain()
    optimizer = make("NAPTS", model, radius=1.0, radius_min=0.3)
    records = []
    for step in range(60):
        optimizer.step(closure(model, batch(step % 3)))
        records.append(optimizer.last_step)
    assert any(record.nonmonotone for record in records)


def test_the_pure_gradient_decreases_the_loss_for_a_small_radius() -> None:
    """One public code blends with +g, an ascent direction."""
    model = plain()
    optimizer = make("APTS", model, radius=1e-4, radius_min=1e-5, correction=(1.0,))
    for _ in range(5):
        optimizer.step(closure(model, batch()))
        assert all(t.loss > t.trial_loss for t in optimizer.last_step.trials)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains(method: str) -> None:
    model = plain()
    optimizer = make(method, model)
    losses = [optimizer.step(closure(model, batch(step % 3))) for step in range(100)]
    assert sum(losses[-3:]) < 0.8 * sum(losses[:3])


@pytest.mark.parametrize("method", METHODS)
def test_records_are_plain_and_consistent(method: str) -> None:
    model = plain()
    optimizer = make(method, model, radius=1.0, radius_min=0.5)
    for step in range(20):
        optimizer.step(closure(model, batch(step % 3)))
        record = optimizer.last_step
        assert record.rejections == sum(not t.accepted for t in record.trials)
        assert record.accepted == any(t.accepted for t in record.trials)
        values = record.as_dict().values()
        assert all(v is None or type(v) in (int, float, bool, str) for v in values)
        assert record.forwards == 1 + sum(t.evaluated for t in record.trials)
