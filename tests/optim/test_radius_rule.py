"""The radius rule that tracks evidence inside the methods with acceptance tests of their own."""

import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import napts
from tests.helpers.failing import leaves_no_trace
from tests.helpers.networks import (
    ALL_METHODS,
    METHODS,
    PassMeter,
    batch,
    closure,
    make,
    noisy,
    plain,
    same,
    snapshot,
)
from tests.helpers.problems import SIZES, batches, flat, network, start_from
from tests.reference.flat import MLPProblem, Options, Reference

TRACKING: dict[str, Any] = {"radius_rule": "tracking", "eta_1": 0.05}
EVERY: dict[str, Any] = {**TRACKING, "probe_every": 1}
SETTINGS: list[dict[str, Any]] = [
    {},
    {"probe_every": 3, "caution": 0.7},
    {"probe_every": 1, "radius": 2.0, "radius_max": 8.0, "eta_1": 0.25},
    {"probe_every": 2, "norm": "inf", "direction": "sign"},
    {"probe_every": 1, "radius_max": 0.12, "radius_min": 0.08},
]
OWN: dict[str, list[dict[str, Any]]] = {
    "TR": [{"order": 2, "probe_every": 1}],
    "NTR": [{"order": 2, "probe_every": 2}, {"history_scope": "reeval", "probe_every": 1}],
    "NAPTS": [
        {"shared_radius": False, "probe_every": 1, "radius": 2.0},
        {**napts.preset("NAPTS", "light"), "probe_every": 2},
        {"global_step": "never", "probe_every": 1},
    ],
}
RUNS = [
    (m, o)
    for m in METHODS
    for o in (SETTINGS if m in ("NTR", "NAPTS") else SETTINGS[1:3]) + OWN.get(m, [])
]


@pytest.mark.parametrize(("method", "options"), RUNS, ids=str)
def test_follows_the_reference(method: str, options: dict[str, Any]) -> None:
    problem, model = MLPProblem(SIZES), network()
    start = problem.initial(seed=3)
    start_from(model, start)
    given = {**TRACKING, **options}
    optimizer = make(method, model, radius_floor="fixed", **given)
    reference = Reference(method, problem, start, Options(**given))
    data, radii = batches(), set()
    for step in range(36):
        x, y = data[step % len(data)]
        loss = optimizer.step(closure(model, (torch.from_numpy(x), torch.from_numpy(y))))
        expected, record = reference.step((x, y)), optimizer.last_step
        assert loss == pytest.approx(expected.loss, rel=1e-8)
        assert (record.forwards, record.backwards) == (expected.forwards, expected.backwards), step
        assert (record.accepted, record.rejections_global) == (
            expected.accepted,
            expected.rejections_global,
        )
        assert record.radius_after == pytest.approx(expected.radius_after, rel=1e-6)
        assert optimizer.real_share == pytest.approx(reference.learned.share, rel=1e-5, abs=1e-9)
        np.testing.assert_allclose(flat(model), expected.theta, rtol=0, atol=1e-7)
        radii.add(record.radius_after)
        # CAdam magnifies rounding where a gradient is near zero: go on from the same iterate.
        reference.theta = flat(model).copy()
    assert len(radii) > (1 if "radius_max" in options else 5)


@pytest.mark.parametrize("method", [*ALL_METHODS, "APTSD"])
def test_the_ratio_rule_does_not_look_at_the_new_options(method: str) -> None:
    ends = []
    for options in ({}, {"radius_rule": "ratio", "caution": 0.1, "probe_every": 1}):
        model = plain()
        optimizer = _make(method, model, **options)
        for seed in range(8):
            optimizer.step(_batch(method, model, seed))
        ends.append((snapshot(model), optimizer.radius))
        assert optimizer.real_share is None
        assert "tracking" not in optimizer.state_dict()["state"][0]
    assert same(ends[0][0], ends[1][0])
    assert ends[0][1] == ends[1][1]


@pytest.mark.parametrize("method", [*ALL_METHODS, "APTSD"])
def test_a_probe_costs_one_forward_and_leaves_no_trace(method: str) -> None:
    """With a radius that cannot move, probes change nothing but the number of forwards."""
    fixed: dict[str, Any] = {"radius": 0.1, "radius_min": 0.1, "radius_max": 0.1}
    model, other = noisy(), noisy()
    probed = _make(method, model, **fixed, **EVERY)
    plain_one = _make(method, other, **fixed, eta_1=0.05)
    more = []
    for seed in range(10):
        for one, m in ((probed, model), (plain_one, other)):
            torch.manual_seed(seed)
            one.step(_batch(method, m, seed))
        more.append(probed.last_step.forwards - plain_one.last_step.forwards)
        assert probed.last_step.backwards == plain_one.last_step.backwards
        assert same(snapshot(model), snapshot(other))
    accepted = sum(more)
    assert more[0] == 0
    assert set(more) <= {0, 1}
    assert accepted > 3


def test_what_the_network_sees_is_what_is_counted() -> None:
    meter = PassMeter()
    model = nn.Sequential(meter, *plain())
    optimizer = napts.NTR(model.parameters(), **TRACKING, probe_every=10)
    waited = []
    for seed in range(13):
        passes = meter.forwards
        optimizer.step(closure(model, batch(seed)))
        record = optimizer.last_step
        assert record is not None
        assert record.forwards == meter.forwards - passes
        waited.append(record.forwards - 1 - len(record.trials))
    assert waited[9:] == [0, 1, 0, 0]
    assert waited[0] == 0
    assert sum(waited[:9]) == 8


def test_what_a_batch_confirms_in_full_is_real() -> None:
    """On one batch with a quadratic loss the trapezoid rule is exact, and radii grow."""
    torch.manual_seed(0)
    theta = nn.Parameter(torch.randn(8, dtype=torch.float64))
    curvature = torch.linspace(0.5, 2.0, 8, dtype=torch.float64)
    optimizer = napts.NTR([theta], radius=1e-2, **EVERY)
    for _ in range(40):
        optimizer.step(lambda: (curvature * theta.square()).sum() / 2)
    assert optimizer.real_share == pytest.approx(1.0, abs=1e-6)
    assert optimizer.radius > 0.05


def test_noise_does_not_lengthen_steps() -> None:
    """Each batch is a fresh linear loss: the ratio is 1 and grows radii, only the rule may not."""
    generator = torch.Generator().manual_seed(1)
    slopes = [torch.randn(400, generator=generator, dtype=torch.float64) for _ in range(60)]
    theta = nn.Parameter(torch.zeros(400, dtype=torch.float64))
    optimizer = napts.TR([theta], **EVERY)
    for slope in slopes:
        optimizer.step(lambda slope=slope: slope @ theta)
    assert optimizer.real_share is not None
    assert optimizer.real_share < 0.1


def test_decoupled_decay_is_no_part_of_the_step() -> None:
    """The look back is at the end, decayed since, less the step; on one quadratic loss exact."""
    theta = nn.Parameter(torch.linspace(1, 2, 8, dtype=torch.float64))
    optimizer = napts.TR(
        [theta], **EVERY, weight_decay=0.05, decoupled_weight_decay=True, radius=0.1
    )
    values: list[float] = []

    def loss() -> torch.Tensor:
        values.append(float(theta.detach().square().sum() / 2))
        return theta.square().sum() / 2

    optimizer.step(loss)
    start, end = 0.95 * torch.linspace(1, 2, 8, dtype=torch.float64), theta.detach().clone()
    optimizer.step(loss)
    shifted = 0.95 * end - (end - start)
    assert values[3] == pytest.approx(float(shifted.square().sum() / 2), rel=1e-12)


@pytest.mark.parametrize("method", ["NTR", "NAPTS"])
def test_a_loss_that_is_not_finite_leaves_the_probe_waiting(method: str) -> None:
    model = plain()
    optimizer = make(method, model, **EVERY)
    for seed in range(3):
        optimizer.step(closure(model, batch(seed)))
    before = snapshot(model), optimizer.radius, optimizer.real_share
    loss = optimizer.step(lambda: closure(model, batch(3))() * math.nan)
    assert math.isnan(loss)
    assert same(snapshot(model), before[0])
    assert (optimizer.radius, optimizer.real_share) == before[1:]
    twin = copy.deepcopy((model, optimizer))
    optimizer.step(closure(model, batch(4)))
    assert optimizer.real_share != before[2]
    # A start that only the next batch finds infinite teaches nothing, but the step has a ratio.
    calls = 0

    def infinite_once() -> torch.Tensor:
        nonlocal calls
        calls += 1
        return closure(twin[0], batch(4))() * (math.inf if calls == 2 else 1.0)

    twin[1].step(infinite_once)
    assert twin[1].real_share == before[2]
    assert math.isfinite(twin[1].radius)


@pytest.mark.parametrize("method", ["NTR", "NAPTS"])
@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_failing_closure_leaves_no_trace(method: str, call: int) -> None:
    """The second call is the look back, the third the first trial."""
    leaves_no_trace(lambda model: make(method, model, **EVERY), call)


@pytest.mark.parametrize("method", ["NTR", "NAPTS"])
@pytest.mark.parametrize("how", ["state", "deepcopy", "pickle"])
@pytest.mark.parametrize("steps", [0, 1, 12, 13])
def test_goes_on_from_a_copy(method: str, how: str, steps: int) -> None:
    """Also while a step waits for its next batch: after 1 and 12 steps."""
    model = noisy()
    optimizer = make(method, model, **TRACKING)
    torch.manual_seed(5)
    for seed in range(steps):
        optimizer.step(closure(model, batch(seed)))
    if steps in (1, 13):
        pending = optimizer.state_dict()["state"][0]["tracking"]["pending"]
        assert (pending is not None) == (steps == 1)
    if how == "state":
        twin = copy.deepcopy(model)
        other = make(method, twin, **TRACKING)
        other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    else:
        both = (model, optimizer)
        twin, other = copy.deepcopy(both) if how == "deepcopy" else pickle.loads(pickle.dumps(both))
    for m, one in ((model, optimizer), (twin, other)):
        torch.manual_seed(6)
        for seed in range(steps, steps + 6):
            one.step(closure(m, batch(seed)))
    assert same(snapshot(model), snapshot(twin))
    assert (optimizer.radius, optimizer.real_share) == (other.radius, other.real_share)


def test_parameters_that_come_and_go() -> None:
    model = plain()
    optimizer = napts.NTR(model[2:].parameters(), **EVERY)
    for seed in range(3):
        optimizer.step(closure(model, batch(seed)))
    share = optimizer.real_share
    optimizer.add_param_group({"params": model[0].parameters()})
    optimizer.step(closure(model, batch(3)))
    assert optimizer.real_share == share  # the step that waited had other parameters
    model[4].weight.requires_grad_(False)
    for seed in range(4, 7):
        optimizer.step(closure(model, batch(seed)))
    assert optimizer.real_share != share


def test_the_rule_may_change_between_steps() -> None:
    """And an edit of another option keeps what has been seen."""
    model = plain()
    optimizer = napts.NTR(model.parameters(), eta_1=0.05)
    optimizer.step(closure(model, batch(0)))
    optimizer.param_groups[0]["radius_rule"] = "tracking"
    for seed in range(1, 4):
        optimizer.step(closure(model, batch(seed)))
    share = optimizer.real_share
    assert share
    optimizer.param_groups[0]["caution"] = 2.0
    optimizer.state_dict()
    assert optimizer.real_share == share
    optimizer.param_groups[0]["radius_rule"] = "ratio"
    optimizer.step(closure(model, batch(4)))
    assert optimizer.real_share is None


def test_the_schedulers_factor_bounds_it() -> None:
    model = plain()
    optimizer = napts.TR(model.parameters(), radius=0.2, radius_max=0.4, **EVERY)
    for seed in range(6):
        optimizer.param_groups[0]["lr"] = 0.25
        optimizer.step(closure(model, batch(seed)))
        assert optimizer.radius <= 0.1
    optimizer.param_groups[0]["lr"] = 0.0
    before = snapshot(model)
    optimizer.step(closure(model, batch(6)))
    assert same(snapshot(model), before)


def test_where_the_floor_has_yielded_only_rejections_shrink_the_radius() -> None:
    """A loss that bends within the smallest radius: the region goes below it, and comes back."""
    theta = nn.Parameter(torch.tensor([1e-4], dtype=torch.float64))
    optimizer = napts.TR([theta], radius=0.1, radius_min=0.05, **EVERY)
    radii = []
    for _ in range(30):
        optimizer.step(lambda: theta.abs().sum() + 5e3 * theta.square().sum())
        radii.append(optimizer.radius)
        if optimizer.last_step is not None and optimizer.last_step.accepted:
            break
    assert min(radii) < 1e-3
    after = optimizer.radius
    optimizer.step(lambda: theta.sum())
    assert optimizer.radius >= after


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"radius_rule": "x"}, "Invalid radius_rule: x, must be one of ratio, tracking"),
        ({"caution": 0.0}, "Invalid caution: 0.0, must be above 0"),
        ({"probe_every": 0}, r"Invalid probe_every: 0, must be integer in \[1, 1000000\]"),
    ],
)
def test_what_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        napts.TR(plain().parameters(), **options)


def _make(method: str, model: nn.Module, **options: Any) -> Any:
    if method == "APTSD":
        return napts.APTSD(model.parameters(), **options)
    return make(method, model, **options)


def _batch(method: str, model: nn.Module, seed: int) -> Any:
    if method != "APTSD":
        return closure(model, batch(seed))
    loss = nn.functional.cross_entropy
    return napts.SplitBatch(lambda x, y: loss(model(x), y), *batch(seed))
