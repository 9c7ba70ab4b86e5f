"""TTR and STTR: an independent reference, identities, transactions and states."""

import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import napts
from napts.optim.iterate_average import weight
from napts.optim.tracking.evidence import Evidence, Probe
from napts.optim.tracking.rule import TrackingRule
from tests.helpers.failing import leaves_no_trace
from tests.helpers.networks import PassMeter, batch, closure, noisy, plain, same, snapshot
from tests.helpers.problems import SIZES, batches, flat, network, start_from
from tests.reference.mlp import MLPProblem
from tests.reference.tracking import Tracking

BOTH = pytest.mark.parametrize("method", [napts.TTR, napts.STTR])
UNPROBED: dict[str, Any] = {"first_probes": 0, "probe_every": 10**6}
SETTINGS: list[dict[str, Any]] = [
    {},
    {"first_probes": 3, "probe_every": 4, "gain": 0.3},
    {"caution": 0.8, "target_min": 0.0, "target_max": 0.95, "tolerance": 0.1},
    {"memory": 0.0, "probe_every": 1, "betas": (0.5, 0.9), "eps": 1e-3, "average": 0.0},
    {"radius": 0.5, "reject_below": 0.3, "shrink": 0.3, "first_probes": 30},
    {"radius": 1e-2, "radius_min": 8e-3, "radius_max": 1.2e-2},
]


@BOTH
@pytest.mark.parametrize("options", SETTINGS, ids=str)
def test_follows_the_reference(options: dict[str, Any], method: Any) -> None:
    problem, model = MLPProblem(SIZES), network()
    start = problem.initial(seed=3)
    start_from(model, start)
    optimizer = method(model.parameters(), **options)
    defaults = {name: definition.default for name, definition in method.definitions.items()}
    reference = Tracking(problem, start, {**defaults, **options}, method is napts.STTR)
    data, passes, rejected = batches(), 0.0, 0
    for step in range(60):
        x, y = data[step % len(data)]
        loss = optimizer.step(closure(model, (torch.from_numpy(x), torch.from_numpy(y))))
        record = optimizer.last_step
        assert record is not None
        passes += record.forwards + 2 * record.backwards
        rejected += record.rejections_global
        assert loss == pytest.approx(reference.step((x, y)), rel=1e-9)
        assert optimizer.radius == pytest.approx(reference.radius, rel=1e-6)
        assert optimizer.real_share == pytest.approx(reference.learned.share, rel=1e-5, abs=1e-9)
        assert record.accepted == reference.accepted
        np.testing.assert_allclose(flat(model), reference.theta, rtol=0, atol=1e-8)
    assert passes == reference.passes
    assert (rejected > 0) == (options.get("reject_below") == 0.3)
    optimizer.eval_mode()
    np.testing.assert_allclose(flat(model), reference.average, rtol=0, atol=1e-8)


def test_without_probes_it_is_adam() -> None:
    ours, theirs = plain(), plain()
    one = napts.TTR(ours.parameters(), radius=3e-3, average=None, **UNPROBED)
    other = torch.optim.Adam(theirs.parameters(), lr=3e-3)
    for seed in range(20):
        one.step(closure(ours, batch(seed)))
        other.zero_grad()
        closure(theirs, batch(seed))().backward()
        other.step()
    for mine, adams in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, adams, rtol=1e-9, atol=1e-12)
    assert one.radius == 3e-3
    one.eval_mode()  # without an average the method is evaluated where it is
    assert torch.equal(next(ours.parameters()), next(iter(ours.parameters())))


def test_what_a_probe_costs() -> None:
    meter = PassMeter()
    model = nn.Sequential(meter, *plain())
    optimizer = napts.TTR(model.parameters(), first_probes=2, probe_every=4)
    forwards = []
    for seed in range(9):
        data = batch(seed)
        inputs = data[0].requires_grad_()
        before = meter.forwards
        optimizer.step(closure(model, (inputs, data[1])))
        assert optimizer.last_step is not None
        assert optimizer.last_step.forwards == meter.forwards - before
        assert optimizer.last_step.backwards == 1
        forwards.append(optimizer.last_step.forwards)
    # Steps 0, 1, 3 and 7 are probed: one forward more each, and one in the step after.
    assert forwards == [2, 3, 2, 2, 2, 1, 1, 2, 2]


def test_on_one_batch_everything_promised_is_real() -> None:
    """On a quadratic loss the trapezoid rule is exact, and one batch agrees with itself."""
    torch.manual_seed(0)
    theta = nn.Parameter(torch.randn(8, dtype=torch.float64))
    curvature = torch.linspace(0.5, 2.0, 8, dtype=torch.float64)
    optimizer = napts.TTR([theta], radius=1e-3, probe_every=2)
    for _ in range(40):
        optimizer.step(lambda: (curvature * theta.square()).sum() / 2)
    assert optimizer.real_share == pytest.approx(1.0, abs=1e-6)


def test_pure_noise_promises_nothing_real() -> None:
    """The gradient of each batch is a fresh random vector: the radius falls to the largest target.

    The losses are linear, so every step keeps all of its promise on its own batch.
    """
    generator = torch.Generator().manual_seed(1)
    theta = nn.Parameter(torch.zeros(400, dtype=torch.float64))
    optimizer = napts.TTR([theta], probe_every=1, betas=(0.0, 0.999))
    for _ in range(60):
        slope = torch.randn(400, generator=generator, dtype=torch.float64)
        optimizer.step(lambda slope=slope: slope @ theta)
    assert optimizer.real_share < 0.1
    record = optimizer.last_step
    assert record is not None
    assert record.ratio_current == pytest.approx(1.0)


def test_a_worse_step_is_undone() -> None:
    model = plain()
    optimizer = napts.TTR(model.parameters(), radius=1.0, reject_below=0.9)
    before = snapshot(model)
    optimizer.step(closure(model, batch()))
    record = optimizer.last_step
    assert record is not None
    assert same(snapshot(model), before)
    assert (record.accepted, record.rejections_global, optimizer.radius) == (False, 1, 0.5)
    optimizer.eval_mode()  # nothing has been averaged yet
    assert same(snapshot(model), before)


@BOTH
@pytest.mark.parametrize("probed", [True, False])
def test_a_loss_that_is_not_finite_leads_back(probed: bool, method: Any) -> None:
    model = plain()
    optimizer = method(model.parameters(), **({} if probed else UNPROBED))
    for seed in range(3):
        before = snapshot(model)
        optimizer.step(closure(model, batch(seed)))
    radius = optimizer.radius
    loss = optimizer.step(lambda: closure(model, batch(3))() * math.nan)
    assert math.isnan(loss)
    assert optimizer.last_step is not None
    assert not optimizer.last_step.accepted
    assert same(snapshot(model), before)
    # The probe before, if there is one, has moved the radius too.
    assert optimizer.radius == pytest.approx(radius / 2, rel=0.25 if probed else 1e-12)
    assert math.isfinite(optimizer.step(closure(model, batch(4))))
    assert optimizer.last_step.accepted


@BOTH
@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_failing_closure_leaves_no_trace(call: int, method: Any) -> None:
    """The third call is the look back, the second the end of a probed step."""
    leaves_no_trace(lambda model: method(model.parameters()), call)


def test_random_masks_and_buffers() -> None:
    """A probe sees the masks of its batch again, and BatchNorm counts every batch once."""
    model = noisy()
    optimizer = napts.TTR(model.parameters(), probe_every=1, radius=1e-6, gain=0.0, first_gain=0.0)
    torch.manual_seed(3)
    for seed in range(12):
        optimizer.step(closure(model, batch(seed)))
        assert optimizer.last_step is not None
        assert optimizer.last_step.ratio_current == pytest.approx(1.0, abs=2e-2)
    assert int(model[1].num_batches_tracked) == 12  # pyright: ignore[reportArgumentType]


def _saved(optimizer: Any, model: nn.Module) -> Any:
    other = type(optimizer)(model.parameters())
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    return other


@pytest.mark.parametrize("steps", [0, 1, 9, 12, 13])
@pytest.mark.parametrize("how", ["state", "deepcopy", "pickle"])
@pytest.mark.parametrize("evaluating", [False, True])
@BOTH
def test_goes_on_from_a_copy(steps: int, how: str, evaluating: bool, method: Any) -> None:
    """Also while a probed step waits for its next batch, and while the average is in place."""
    model = plain()
    optimizer = method(model.parameters())
    for seed in range(steps):
        optimizer.step(closure(model, batch(seed)))
    if evaluating:
        optimizer.eval_mode()
    twin = copy.deepcopy(model)
    if how == "state":
        other = _saved(optimizer, twin)
    else:
        both = (model, optimizer)
        twin, other = copy.deepcopy(both) if how == "deepcopy" else pickle.loads(pickle.dumps(both))
    for m, one in ((model, optimizer), (twin, other)):
        one.train_mode()
        for seed in range(steps, steps + 8):
            one.step(closure(m, batch(seed)))
    assert same(snapshot(model), snapshot(twin))
    assert (optimizer.radius, optimizer.real_share) == (other.radius, other.real_share)
    for one in (optimizer, other):
        one.eval_mode()
    assert same(snapshot(model), snapshot(twin))


def test_evaluation_is_at_the_average_and_back() -> None:
    model = plain()
    optimizer = napts.TTR(model.parameters(), average=3.0)
    expected: np.ndarray | None = None
    for step in range(10):
        optimizer.step(closure(model, batch(step)))
        here, share = flat(model).copy(), weight(step + 1, 3.0)
        expected = here if expected is None else (1 - share) * expected + share * here
    before = snapshot(model)
    optimizer.eval_mode()
    optimizer.eval_mode()
    np.testing.assert_allclose(flat(model), expected, rtol=1e-12)
    with pytest.raises(RuntimeError, match="TTR: found evaluation mode, allowed: call train_mode"):
        optimizer.step(closure(model, batch()))
    optimizer.train_mode()
    assert same(snapshot(model), before)


@BOTH
def test_parameters_that_come_and_go(method: Any) -> None:
    model = plain()
    optimizer = method(model[2:].parameters(), probe_every=1)
    for seed in range(3):
        optimizer.step(closure(model, batch(seed)))
    optimizer.add_param_group({"params": model[0].parameters()})
    model[4].weight.requires_grad_(False)
    frozen = model[4].weight.detach().clone()
    for seed in range(3, 6):
        optimizer.step(closure(model, batch(seed)))
    assert torch.equal(model[4].weight, frozen)
    other = method([{"params": model[2:].parameters()}, {"params": model[0].parameters()}])
    other.load_state_dict(optimizer.state_dict())
    assert other.radius == optimizer.radius
    with pytest.raises(ValueError, match=r"gain cannot differ between groups, \w+ has one trust"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))], "gain": 0.1})


@BOTH
def test_the_learning_rate_is_a_factor(method: Any) -> None:
    moved = []
    for factor in (1.0, 0.5, 0.0):
        model = plain()
        optimizer = method(model.parameters())
        start = torch.from_numpy(flat(model).copy())
        optimizer.param_groups[0]["lr"] = factor
        optimizer.step(closure(model, batch()))
        moved.append(torch.from_numpy(flat(model)) - start)
    torch.testing.assert_close(moved[1], moved[0] / 2)
    assert not moved[2].any()


def test_weight_decay_is_part_of_the_loss() -> None:
    one, other = plain(), plain()
    decaying = napts.TTR(one.parameters(), weight_decay=0.1)
    penalised = napts.TTR(other.parameters())

    def penalty(seed: int) -> torch.Tensor:
        squares = sum((p.square().sum() for p in other.parameters()), torch.zeros(()))
        return closure(other, batch(seed))() + 0.05 * squares

    for seed in range(15):
        mine = decaying.step(closure(one, batch(seed)))
        assert mine == pytest.approx(penalised.step(lambda seed=seed: penalty(seed)), rel=1e-10)
    np.testing.assert_allclose(flat(one), flat(other), atol=1e-9)


def test_decoupled_weight_decay() -> None:
    ours = plain()
    start = flat(ours).copy()
    optimizer = napts.TTR(
        ours.parameters(), weight_decay=0.1, decoupled_weight_decay=True, radius=1e-8, **UNPROBED
    )
    for seed in range(3):
        optimizer.step(closure(ours, batch(seed)))
    np.testing.assert_allclose(flat(ours), 0.9**3 * start, atol=1e-6)
    kept = flat(ours).copy()
    optimizer.eval_mode()
    assert not np.allclose(flat(ours), kept)  # the average is of shrunken iterates too
    assert np.linalg.norm(flat(ours)) < np.linalg.norm(start)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"radius": 0.0}, "Invalid radius"),
    ({"radius": 2.0}, r"Invalid radius: 2\.0, must lie in \[1e-08, 1\.0\]"),
    ({"caution": 0.0}, "Invalid caution"),
    ({"target_max": 1.0}, "Invalid target_max"),
    ({"target_min": 0.9}, r"Invalid target_max: 0\.8, must be at least target_min = 0\.9"),
    ({"probe_every": 0}, "Invalid probe_every: 0, must be integer"),
    ({"memory": 1.0}, "Invalid memory"),
    ({"average": -1.0}, "Invalid average"),
    ({"lr": 0.1}, "lr"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_bad_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        napts.TTR(plain().parameters(), **options)


RULE = TrackingRule(1e-6, 1.0, 1.3, 0.05, 0.8, 0.4, 0.5)
RATIOS = st.one_of(st.floats(-1e6, 1e6), st.just(-math.inf))


@given(st.floats(1e-6, 1.0), RATIOS, RATIOS, st.floats(0, 1), st.floats(0, 1))
def test_the_rule(radius: float, ratio: float, other: float, share: float, gain: float) -> None:
    assert 0.05 <= RULE.target(share) <= 0.8
    moved = RULE.update(radius, ratio, share, gain)
    assert 1e-6 <= moved <= 1.0
    assert abs(math.log(moved / radius)) <= gain + 1e-9
    if ratio >= other:
        assert moved >= RULE.update(radius, other, share, gain)
    if ratio > RULE.target(share) and radius < 1.0:
        assert moved >= radius


@given(st.lists(st.tuples(*[st.floats(-1e3, 1e3)] * 3), min_size=1, max_size=20))
def test_evidence_is_a_share(numbers: list[tuple[float, float, float]]) -> None:
    evidence = Evidence(0.9)
    for before, after, slope in numbers:
        evidence = evidence.with_probe(Probe(1.0, 0.0, 0.0, before, after, slope))
        assert 0.0 <= evidence.share <= 1.0
    spoilt = evidence.with_probe(Probe(1.0, 0.0, 0.0, math.inf, 0.0, 0.0))
    assert spoilt == evidence
