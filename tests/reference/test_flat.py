"""The flat-vector reference itself: its derivatives, and the properties the methods must have."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch

from tests.reference.flat import (
    MLPProblem,
    Options,
    Reference,
    StepResult,
    local_model_step,
    schwarz_proposal,
    trust_region_norm,
)
from tests.reference.history import ConstantMemoryHistory, Vector, WindowedHistory

SIZES = (5, 7, 6, 6, 3)
ROUNDING = 1.0 + 1e-12
# A region much too large for the net, so that trials fail and corrections are entered.
LARGE: dict[str, Any] = {"radius": 2.0, "radius_max": 8.0}


def make_batch(seed: int, samples: int = 12) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(samples, SIZES[0])), rng.integers(0, SIZES[-1], samples)


def make_problem(activation: Any = "tanh", blocks: Any = None) -> MLPProblem:
    return MLPProblem(SIZES, blocks, activation)


def run(
    method: str, steps: int = 25, seed: int = 0, batches: int = 1, **options: Any
) -> list[StepResult]:
    """Results of a run that cycles through `batches` different mini-batches."""
    problem = make_problem()
    reference = Reference(method, problem, problem.initial(seed), Options(**options))
    data = [make_batch(100 + seed + index) for index in range(batches)]
    return [reference.step(data[index % batches]) for index in range(steps)]


def differences(problem: Any, theta: Vector, batch: Any, width: float = 1e-6) -> Vector:
    slopes = np.empty(problem.n)
    for index, unit in enumerate(np.eye(problem.n)):
        ahead = problem.loss(theta + width * unit, batch)
        slopes[index] = (ahead - problem.loss(theta - width * unit, batch)) / (2.0 * width)
    return slopes


def assert_same_run(left: list[StepResult], right: list[StepResult]) -> None:
    for one, two in zip(left, right, strict=True):
        np.testing.assert_array_equal(one.theta, two.theta)
        for name in [f.name for f in dataclasses.fields(StepResult) if f.name != "theta"]:
            assert getattr(one, name) == getattr(two, name), name


# --- derivatives -----------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("blocks", [None, (1, 2, 1), (4,)])
def test_gradient_agrees_with_finite_differences(activation: str, blocks: Any) -> None:
    problem = make_problem(activation, blocks)
    theta, batch = problem.initial(1), make_batch(2)
    expected = differences(problem, theta, batch)
    np.testing.assert_allclose(problem.gradient(theta, batch), expected, atol=1e-8)


def torch_blocks(problem: MLPProblem, theta: Vector) -> list[torch.nn.Sequential]:
    """The same network as torch modules, one per subdomain."""
    activation = torch.nn.Tanh if problem.activation == "tanh" else torch.nn.ReLU
    modules = []
    for layers, block in zip(problem.block_layers, problem.blocks, strict=True):
        parts: list[torch.nn.Module] = []
        for layer in layers:
            outputs, inputs = problem.shapes[layer]
            parts.append(torch.nn.Linear(inputs, outputs, dtype=torch.float64))
            if layer < len(problem.shapes) - 1:
                parts.append(activation())
        modules.append(torch.nn.Sequential(*parts))
        torch.nn.utils.vector_to_parameters(
            torch.from_numpy(theta[block].copy()), modules[-1].parameters()
        )
    return modules


def flat(gradients: Any) -> Vector:
    return torch.cat([gradient.reshape(-1) for gradient in gradients]).numpy()


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("blocks", [None, (1, 2, 1), (2, 2)])
def test_all_gradients_agree_with_autograd(activation: str, blocks: Any) -> None:
    problem = make_problem(activation, blocks)
    theta, batch = problem.initial(3), make_batch(4)
    moved = theta + 0.3 * problem.initial(5)
    labels = torch.from_numpy(batch[1])
    modules = torch_blocks(problem, theta)

    boundaries = [torch.from_numpy(batch[0])]
    for module in modules:
        boundaries.append(module(boundaries[-1]))
    loss = torch.nn.functional.cross_entropy(boundaries[-1], labels)
    parameters = [p for module in modules for p in module.parameters()]
    gradient = flat(torch.autograd.grad(loss, parameters, retain_graph=True))
    deltas = torch.autograd.grad(loss, boundaries[1:])

    assert problem.loss(theta, batch) == pytest.approx(loss.item(), rel=1e-13)
    np.testing.assert_allclose(problem.gradient(theta, batch), gradient, atol=1e-14)
    for d, module in enumerate(torch_blocks(problem, moved)):
        output = module(boundaries[d].detach())
        expected = flat(torch.autograd.grad(output, list(module.parameters()), deltas[d]))
        local = problem.local_gradient(d, moved[problem.blocks[d]], theta, batch)
        np.testing.assert_allclose(local, expected, atol=1e-14)

    last = torch_blocks(problem, moved)[-1]
    loss = torch.nn.functional.cross_entropy(last(boundaries[-2].detach()), labels)
    expected = flat(torch.autograd.grad(loss, list(last.parameters())))
    exact = problem.last_block_gradient(moved[problem.blocks[-1]], theta, batch)
    np.testing.assert_allclose(exact, expected, atol=1e-14)


@pytest.mark.parametrize("blocks", [None, (1, 2, 1)])
def test_local_gradient_starts_as_the_block_of_the_global_one(blocks: Any) -> None:
    problem = make_problem(blocks=blocks)
    theta, batch = problem.initial(6), make_batch(7)
    gradient = problem.gradient(theta, batch)
    for d, block in enumerate(problem.blocks):
        local = problem.local_gradient(d, theta[block], theta, batch)
        np.testing.assert_allclose(local, gradient[block], atol=1e-15)


def test_blocks_partition_the_vector() -> None:
    problem = make_problem(blocks=(1, 2, 1))
    indices = np.concatenate([np.arange(problem.n)[block] for block in problem.blocks])
    np.testing.assert_array_equal(indices, np.arange(problem.n))
    with pytest.raises(ValueError, match="do not add up to 4"):
        make_problem(blocks=(1, 2))


# --- the window ------------------------------------------------------------------------------


def brute_force_reference(
    accepted: list[tuple[float, float]], loss: float, window: int
) -> tuple[float, float]:
    """Eqs. (6)-(8) by their definition, from all accepted (f_i, pred_i), oldest first."""
    members = accepted[-window:] if window else []
    losses = [entry[0] for entry in members] + [loss]
    index = max(i for i, value in enumerate(losses) if value == max(losses))
    return losses[index], sum(entry[1] for entry in members[index:])


@pytest.mark.parametrize("method", ["NTR", "NAPTS"])
@pytest.mark.parametrize("window", [0, 1, 3, 5])
def test_window_invariants_on_a_deterministic_loss(method: str, window: int) -> None:
    accepted: list[tuple[float, float]] = []
    highest = math.inf
    by_history = 0
    eta = 0.25
    for result in run(method, 60, window=window, **LARGE):
        loss = result.loss
        for trial in result.trials:
            reference, sigma = brute_force_reference(accepted, loss, window)
            assert trial.reference_loss == reference
            assert trial.reference_reduction == pytest.approx(sigma, rel=1e-12)
            assert reference >= loss
            if window == 0:
                assert trial.ratio_history == trial.ratio_current
            if not trial.accepted:
                continue
            assert trial.trial_loss is not None
            assert trial.predicted > 0.0
            by_history += loss - trial.trial_loss < eta * trial.predicted
            assert (
                reference - trial.trial_loss >= eta * (sigma + trial.predicted)
                or loss - trial.trial_loss >= eta * trial.predicted
            )
            accepted.append((loss, trial.predicted))
            loss = trial.trial_loss
            now = brute_force_reference(accepted, loss, window)[0]
            assert now <= highest
            highest = now
    assert len(accepted) > 10
    if window == 0:
        assert by_history == 0
    if method == "NTR" and window == 5:
        assert by_history > 0, "no trial was accepted by the history: the test shows nothing"


def test_window_prefers_the_most_recent_of_equal_losses() -> None:
    history = WindowedHistory(3, "rolling")
    theta = np.zeros(1)
    for loss, predicted in [(9.0, 1.0), (2.0, 0.5), (4.0, 0.25), (4.0, 0.125)]:
        history.push((loss, theta), (0.0, theta), predicted, step=1)

    def never(_: Vector) -> float:
        raise AssertionError("a rolling window evaluates nothing")

    assert history.reference(1.0, theta, 2, never) == (4.0, 0.125)
    assert history.reference(4.0, theta, 2, never) == (4.0, 0.0)


def test_constant_memory_follows_the_hand_computed_sequence() -> None:
    history = ConstantMemoryHistory(2, "rolling")
    theta = np.zeros(1)
    seen = []
    # (trial loss, predicted): a new minimum, two steps without one, another new minimum.
    for trial_loss, predicted in [(8.0, 1.0), (9.0, 0.5), (8.5, 0.25), (7.0, 2.0)]:
        seen.append(history.reference(10.0, theta, 0, lambda _: math.nan))
        history.push((10.0, theta), (trial_loss, theta), predicted, step=0)
    seen.append(history.reference(10.0, theta, 0, lambda _: math.nan))
    assert seen == [(10.0, 0.0), (10.0, 1.0), (10.0, 1.5), (9.0, 0.25), (9.0, 2.25)]


def test_constant_memory_accumulates_over_equal_losses() -> None:
    history = ConstantMemoryHistory(2, "rolling")
    theta = np.zeros(1)
    history.reference(10.0, theta, 0, lambda _: math.nan)
    # The first is a new minimum and forgets its own prediction; its equals keep theirs.
    for predicted in (1.0, 0.5, 0.25):
        history.push((10.0, theta), (8.0, theta), predicted, step=0)
    assert history.reference(8.0, theta, 0, lambda _: math.nan) == (8.0, 0.75)


# --- methods that must coincide --------------------------------------------------------------


@pytest.mark.parametrize("history", ["windowed", "constant-memory"])
@pytest.mark.parametrize("batches", [1, 4])
@pytest.mark.parametrize("pair", [("TR", "NTR"), ("APTS", "NAPTS")])
@pytest.mark.parametrize("shared", [True, False])
def test_no_memory_is_the_monotone_method(
    pair: tuple[str, str], batches: int, history: str, shared: bool
) -> None:
    monotone = run(pair[0], batches=batches, **LARGE)
    without = run(
        pair[1], batches=batches, window=0, history=history, shared_history=shared, **LARGE
    )
    assert_same_run(monotone, without)


@pytest.mark.parametrize("history", ["windowed", "constant-memory"])
def test_memory_changes_the_run(history: str) -> None:
    monotone = run("TR", 60, **LARGE)
    nonmonotone = run("NTR", 60, history=history, **LARGE)
    assert not np.array_equal(monotone[-1].theta, nonmonotone[-1].theta)


@pytest.mark.parametrize("history", ["windowed", "constant-memory"])
def test_clearing_at_every_batch_leaves_a_single_phase_monotone(history: str) -> None:
    monotone = run("TR", batches=3, **LARGE)
    cleared = run("NTR", batches=3, history_scope="per_batch", history=history, **LARGE)
    assert_same_run(monotone, cleared)


@pytest.mark.parametrize("method", ["NTR", "NAPTS"])
@pytest.mark.parametrize("history", ["windowed", "constant-memory"])
def test_reevaluation_changes_only_the_cost_of_a_deterministic_loss(
    method: str, history: str
) -> None:
    rolling = run(method, 40, history=history, **LARGE)
    again = run(method, 40, history=history, history_scope="reeval", **LARGE)
    extra = [b.forwards - a.forwards for a, b in zip(rolling, again, strict=True)]
    assert max(extra) > 0
    # One phase refers to one old entry at most.
    assert set(extra) <= ({0, 1} if method == "NTR" else {0, 1, 2})
    unpriced = [
        dataclasses.replace(b, forwards=a.forwards) for a, b in zip(rolling, again, strict=True)
    ]
    assert_same_run(rolling, unpriced)


def test_reevaluation_uses_the_loss_on_the_current_batch() -> None:
    problem = make_problem()
    history = WindowedHistory(2, "reeval")
    batch, calls = make_batch(1), []
    old, current = problem.initial(1), problem.initial(2)

    def evaluate(theta: Vector) -> float:
        calls.append(theta)
        return problem.loss(theta, batch)

    history.push((50.0, old), (1.0, current), 0.5, step=1)
    for _ in range(2):
        assert history.reference(1.0, current, 2, evaluate) == (problem.loss(old, batch), 0.5)
    assert len(calls) == 1
    np.testing.assert_array_equal(calls[0], old)


# --- steps inside the trust region -----------------------------------------------------------

GEOMETRIES = list(itertools.product(["l2", "inf"], ["scaled_gradient", "sign", "l2"]))


@pytest.mark.parametrize(("norm", "direction"), GEOMETRIES)
@pytest.mark.parametrize("cap", ["scale", "clip"])
def test_every_trial_stays_inside_the_region(norm: str, direction: str, cap: str) -> None:
    results = run("NAPTS", 15, norm=norm, direction=direction, cap=cap, **LARGE)
    trials = [trial for result in results for trial in result.trials]
    assert any(trial.phase == "correction" for trial in trials)
    for trial in trials:
        assert trial.step_norm <= trial.radius * ROUNDING


@pytest.mark.parametrize("norm", ["l2", "inf"])
@pytest.mark.parametrize("cap", ["scale", "clip"])
@pytest.mark.parametrize("local_steps", [1, 3, 8])
@pytest.mark.parametrize("exact", [False, True])
def test_lifted_step_and_its_parts_respect_their_caps(
    norm: str, cap: str, local_steps: int, exact: bool
) -> None:
    problem, batch, radius = make_problem(), make_batch(8), 0.3
    theta = problem.initial(8)
    options = Options(norm=norm, cap=cap, local_steps=local_steps, last_block_exact=exact)
    step = schwarz_proposal(problem, theta, problem.gradient(theta, batch), radius, options, batch)
    share = radius if norm == "inf" else radius / math.sqrt(len(problem.blocks))
    assert trust_region_norm(step, norm) <= radius * ROUNDING
    for block in problem.blocks:
        assert 0.0 < trust_region_norm(step[block], norm) <= share * ROUNDING


def test_first_local_step_is_almost_the_sign_of_the_gradient() -> None:
    problem, batch = make_problem(), make_batch(9)
    theta = problem.initial(9)
    gradient = problem.gradient(theta, batch)
    step = schwarz_proposal(
        problem, theta, gradient, 0.1, Options(norm="inf", local_steps=1), batch
    )
    visible = np.abs(gradient) > 1e-4
    assert visible.sum() > problem.n // 2
    np.testing.assert_allclose(step[visible], -0.1 * np.sign(gradient[visible]), rtol=1e-3)


def test_uncapped_local_steps_are_adam() -> None:
    problem, batch = make_problem(), make_batch(11)
    theta = problem.initial(11)
    options = Options(local_steps=4, betas=(0.8, 0.95), eps=1e-3)
    step = schwarz_proposal(problem, theta, problem.gradient(theta, batch), 1e3, options, batch)
    for d, block in enumerate(problem.blocks):
        weights = torch.nn.Parameter(torch.from_numpy(theta[block].copy()))
        adam = torch.optim.Adam([weights], lr=1.0, betas=(0.8, 0.95), eps=1e-3)
        for _ in range(4):
            local = weights.detach().numpy().copy()
            weights.grad = torch.from_numpy(problem.local_gradient(d, local, theta, batch))
            adam.step()
        expected = weights.detach().numpy() - theta[block]
        np.testing.assert_allclose(step[block], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("norm", ["l2", "inf"])
def test_cap_shortens_only_what_is_too_long(norm: str) -> None:
    problem, batch = make_problem(blocks=(4,)), make_batch(12)
    theta = problem.initial(12)
    gradient = problem.gradient(theta, batch)
    options = Options(norm=norm, local_steps=1)
    free = schwarz_proposal(problem, theta, gradient, 1e3, options, batch)
    length = trust_region_norm(free, norm)
    for radius, expected in [(1.1 * length, free), (0.9 * length, 0.9 * free)]:
        step = schwarz_proposal(problem, theta, gradient, radius, options, batch)
        np.testing.assert_allclose(step, expected, rtol=1e-12, atol=1e-14)


def test_exact_last_block_changes_the_last_block_only() -> None:
    problem, batch = make_problem(), make_batch(10)
    theta = problem.initial(10)
    gradient = problem.gradient(theta, batch)
    frozen, exact = (
        schwarz_proposal(problem, theta, gradient, 1.0, Options(last_block_exact=flag), batch)
        for flag in (False, True)
    )
    last = problem.blocks[-1]
    np.testing.assert_array_equal(frozen[: last.start], exact[: last.start])
    assert np.abs(frozen[last] - exact[last]).max() > 1e-6


@pytest.mark.parametrize(
    ("norm", "direction", "expected"),
    [
        ("l2", "scaled_gradient", [-0.6, 0.8, 0.0]),
        ("l2", "sign", [-math.sqrt(0.5), math.sqrt(0.5), 0.0]),
        ("l2", "l2", [-0.6, 0.8, 0.0]),
        ("inf", "scaled_gradient", [-0.75, 1.0, 0.0]),
        ("inf", "sign", [-1.0, 1.0, 0.0]),
        ("inf", "l2", [-0.6, 0.8, 0.0]),
    ],
)
def test_model_step_by_hand(norm: str, direction: str, expected: list[float]) -> None:
    gradient = np.array([3.0, -4.0, 0.0])
    step = local_model_step(gradient, 2.0, norm, direction)
    np.testing.assert_allclose(step, 2.0 * np.array(expected), rtol=1e-15)
    np.testing.assert_array_equal(local_model_step(0.0 * gradient, 2.0, norm, direction), 0.0)


@pytest.mark.parametrize(("norm", "direction"), GEOMETRIES)
def test_full_correction_is_the_model_step(norm: str, direction: str) -> None:
    options = Options(norm=norm, direction=direction, correction=(1.0,), **LARGE)
    problem, batch = make_problem(), make_batch(100)
    for seed in range(20):
        theta = problem.initial(seed)
        trials = Reference("APTS", problem, theta, options).step(batch).trials
        if trials[1].phase == "correction":
            break
    else:
        raise AssertionError("no proposal failed")
    gradient = problem.gradient(theta, batch)
    step = local_model_step(gradient, 2.0, norm, direction)
    assert trials[1].trial_loss == problem.loss(theta + step, batch)
    assert trials[1].predicted == pytest.approx(-float(gradient @ step), rel=1e-14)


# --- radius, counts and accidents ------------------------------------------------------------


@pytest.mark.parametrize("method", ["TR", "NTR", "APTS", "APTSA", "NAPTS"])
@pytest.mark.parametrize("scope", ["rolling", "per_batch"])
def test_counts_follow_from_the_trials(method: str, scope: str) -> None:
    rejected = 0
    for result in run(method, 30, batches=3, history_scope=scope, **LARGE):
        trials = result.trials
        preconditioned = any(t.accepted and t.phase != "global" for t in trials)
        assert result.forwards == 1 + sum(trial.evaluated for trial in trials)
        assert result.backwards == 1 + preconditioned
        assert result.local_passes == (0 if method in ("TR", "NTR") else 4)
        for phase in ("proposal", "correction", "global"):
            failed = sum(not t.accepted for t in trials if t.phase == phase)
            assert getattr(result, f"rejections_{phase}") == failed
            rejected += failed
        assert sum(t.accepted for t in trials if t.phase != "global") <= 1
        assert sum(t.accepted for t in trials if t.phase == "global") <= 1
        if method == "APTSA":
            assert trials[0].accepted
            assert trials[1].radius == result.radius_before
        assert result.accepted == any(trial.accepted for trial in trials)
    assert rejected > 0


@pytest.mark.parametrize("method", ["TR", "NTR", "APTS", "NAPTS"])
def test_radius_moves_once_per_phase_and_by_the_rule(method: str) -> None:
    moves = set()
    for result in run(method, 60, radius_min=0.05, **LARGE):
        before = [trial for trial in result.trials if trial.phase != "global"][-1:]
        judged = [*before, *(trial for trial in result.trials if trial.phase == "global")]
        radii = [*(trial.radius for trial in judged), result.radius_after]
        assert radii[0] == result.radius_before
        for trial, (old, new) in zip(judged, itertools.pairwise(radii), strict=True):
            best = max(trial.ratio_current, trial.ratio_history)
            if best < 0.25:
                expected = max(0.05, old / 2.0)
            else:
                expected = min(8.0, 2.0 * old) if best > 0.75 else old
            assert new == expected
            moves.add(math.copysign(1.0, new - old) if new != old else 0.0)
    assert moves == {-1.0, 0.0, 1.0}


class Bowl:
    """Half the squared norm on two subdomains, with a wall of infinite loss."""

    def __init__(self, wall: float = math.inf) -> None:
        self.n = 4
        self.blocks = [slice(0, 2), slice(2, 4)]
        self.wall = wall

    def loss(self, theta: Vector, batch: Any) -> float:
        value = 0.5 * float(theta @ theta)
        return value if value < self.wall else math.inf

    def gradient(self, theta: Vector, batch: Any) -> Vector:
        return theta.copy()

    def local_gradient(self, d: int, theta_d: Vector, theta_k: Vector, batch: Any) -> Vector:
        return theta_d.copy()

    def last_block_gradient(self, theta_last: Vector, theta_k: Vector, batch: Any) -> Vector:
        return theta_last.copy()


class Climb(Bowl):
    """The gradient points the wrong way, so that no trial can succeed."""

    def gradient(self, theta: Vector, batch: Any) -> Vector:
        return -theta


@pytest.mark.parametrize("method", ["TR", "NTR", "APTS", "APTSA", "NAPTS"])
def test_stationary_point_costs_one_try_and_moves_nothing(method: str) -> None:
    reference = Reference(method, Bowl(), np.zeros(4), Options(radius=0.1))
    result = reference.step(None)
    tries = [trial for trial in result.trials if trial.phase == "global"]
    assert [trial.evaluated for trial in tries] == [True]
    assert not tries[0].accepted
    assert result.radius_after < result.radius_before
    np.testing.assert_array_equal(result.theta, 0.0)
    corrections = [trial for trial in result.trials if trial.phase == "correction"]
    assert not any(trial.evaluated for trial in corrections)
    assert len(corrections) == (5 if method in ("APTS", "NAPTS") else 0)


@pytest.mark.parametrize("method", ["TR", "NTR", "APTS", "APTSA", "NAPTS"])
def test_infinite_loss_at_the_start_changes_nothing(method: str) -> None:
    theta = np.full(4, 3.0)
    result = Reference(method, Bowl(wall=1.0), theta, Options()).step(None)
    assert result.trials == []
    assert result.radius_after == result.radius_before
    np.testing.assert_array_equal(result.theta, theta)
    schwarz = method not in ("TR", "NTR")
    assert (result.forwards, result.backwards) == (2 if schwarz else 1, 1)
    assert result.local_passes == (4 if schwarz else 0)


@pytest.mark.parametrize("method", ["NTR", "APTSA", "NAPTS"])
@pytest.mark.parametrize("outside", [math.inf, -math.inf, math.nan])
def test_trial_loss_that_is_no_number_is_rejected(method: str, outside: float) -> None:
    class Island(Bowl):
        def loss(self, theta: Vector, batch: Any) -> float:
            return 1.0 if np.array_equal(theta, np.ones(4)) else outside

    result = Reference(method, Island(), np.ones(4), Options()).step(None)
    assert not result.accepted
    assert all(trial.ratio_history == -math.inf for trial in result.trials)
    assert result.backwards == 1
    np.testing.assert_array_equal(result.theta, 1.0)


def test_retries_end_when_the_radius_cannot_shrink() -> None:
    options = Options(radius=0.4, radius_min=0.1, max_tries=10)
    result = Reference("TR", Climb(), np.ones(4), options).step(None)
    assert [trial.radius for trial in result.trials] == [0.4, 0.2, 0.1]
    assert result.rejections_global == 3
    short = dataclasses.replace(options, max_tries=2)
    assert Reference("TR", Climb(), np.ones(4), short).step(None).rejections_global == 2


def test_hopeless_corrections_are_not_evaluated() -> None:
    class Askew(Climb):
        """Beyond the first local step, the local gradients contradict the global one."""

        def local_gradient(self, d: int, theta_d: Vector, theta_k: Vector, batch: Any) -> Vector:
            return 100.0 * theta_d

    result = Reference("APTS", Askew(), np.ones(4), Options()).step(None)
    proposal, *corrections = [t for t in result.trials if t.phase != "global"]
    assert proposal.predicted < 0.0
    assert proposal.evaluated
    assert not proposal.accepted
    for trial in corrections:
        assert trial.evaluated == (trial.predicted > 1e-12)
    assert {trial.evaluated for trial in corrections} == {True, False}


@pytest.mark.parametrize("method", ["TR", "NTR", "APTS", "APTSA", "NAPTS"])
def test_every_method_lowers_the_loss(method: str) -> None:
    results = run(method, 40)
    assert results[-1].loss < 0.5 * results[0].loss
