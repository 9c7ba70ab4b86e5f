"""Learning-rate schedulers drive a factor on the largest radius."""

import io
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler as schedulers

import napts
from tests.helpers.networks import ALL_METHODS, batch, closure, make, plain, same, snapshot

WIDE = {"norm": "l2", "radius": 1.0, "radius_min": 0.05, "radius_max": 1.0}
SCHEDULES: list[Callable[[Any], Any]] = [
    lambda o: schedulers.LambdaLR(o, lambda epoch: 0.5**epoch),
    lambda o: schedulers.StepLR(o, step_size=2, gamma=0.1),
    lambda o: schedulers.CosineAnnealingLR(o, T_max=9),
    lambda o: schedulers.LinearLR(o, start_factor=0.01, total_iters=4),
    lambda o: schedulers.OneCycleLR(o, max_lr=1.0, total_steps=9, cycle_momentum=False),
    lambda o: schedulers.SequentialLR(
        o, [schedulers.ConstantLR(o, 0.1, 2), schedulers.ExponentialLR(o, 0.9)], milestones=[3]
    ),
]


def _step(optimizer: Any, model: nn.Module, seed: int) -> float:
    return optimizer.step(closure(model, batch(seed % 3)))


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("method", ["TR", "NAPTS"])
def test_the_radius_stays_below_the_factor(method: str, schedule: Callable[[Any], Any]) -> None:
    model = plain()
    optimizer = make(method, model, **WIDE)
    scheduler = schedule(optimizer)
    factors = []
    for seed in range(8):
        factor = scheduler.get_last_lr()[0]
        assert optimizer.param_groups[-1]["lr"] == factor
        _step(optimizer, model, seed)
        largest = max(t.radius for t in optimizer.last_step.trials)
        assert largest <= factor * (1 + 1e-12)
        assert optimizer.radius >= min(0.05, factor) * (1 - 1e-12)
        factors.append(factor)
        scheduler.step()
    assert len(set(factors)) > 1


def test_a_plateau_cuts_the_radius() -> None:
    model = plain()
    optimizer = make("NTR", model, **WIDE)
    scheduler = schedulers.ReduceLROnPlateau(optimizer, factor=0.1, patience=0)
    for _ in range(3):
        scheduler.step(1.0)
    _step(optimizer, model, 0)
    assert optimizer.last_step.radius_before == pytest.approx(0.01)
    assert optimizer.radius <= 0.01 * (1 + 1e-12)


@pytest.mark.parametrize("method", ALL_METHODS)
def test_a_constant_schedule_changes_no_bit(method: str) -> None:
    one, two = plain(), plain()
    alone, driven = make(method, one), make(method, two)
    scheduler = schedulers.LambdaLR(driven, lambda _: 1.0)
    for seed in range(6):
        assert _step(alone, one, seed) == _step(driven, two, seed)
        scheduler.step()
    assert alone.radius == driven.radius
    assert same(snapshot(one), snapshot(two))


@pytest.mark.parametrize("method", ["NTR", "NAPTS"])
def test_a_scheduled_run_resumes(method: str) -> None:
    runs = []
    for stopped in (False, True):
        model, losses = plain(), []
        optimizer = make(method, model, **WIDE)
        scheduler = schedulers.CosineAnnealingLR(optimizer, T_max=10)
        for seed in range(10):
            if stopped and seed == 5:
                file = io.BytesIO()
                torch.save([optimizer.state_dict(), scheduler.state_dict()], file)
                file.seek(0)
                saved = torch.load(file, weights_only=True)
                optimizer = make(method, model, **WIDE)
                scheduler = schedulers.CosineAnnealingLR(optimizer, T_max=10)
                optimizer.load_state_dict(saved[0])
                scheduler.load_state_dict(saved[1])
            losses.append(_step(optimizer, model, seed))
            scheduler.step()
        runs.append((losses, optimizer.radius))
    assert runs[0] == runs[1]


@pytest.mark.parametrize("method", ["TR", "NAPTS"])
def test_a_factor_of_zero_takes_no_step(method: str) -> None:
    model = plain()
    options = {"order": 2} if method == "TR" else {"moments": "kept"}
    optimizer = make(method, model, weight_decay=0.1, decoupled_weight_decay=True, **options)
    scheduler = schedulers.LambdaLR(optimizer, lambda epoch: epoch / 4)
    before, radius = snapshot(model), optimizer.radius
    expected = float(closure(model, batch())().detach())
    assert optimizer.step(closure(model, batch())) == pytest.approx(expected)
    assert same(before, snapshot(model))
    assert optimizer.radius == radius
    assert not optimizer.last_step.accepted
    assert optimizer.last_step.trials == ()
    scheduler.step()
    _step(optimizer, model, 0)
    assert optimizer.last_step.accepted
    assert not same(before, snapshot(model))


def test_after_a_warm_up_the_smallest_radius_holds_again() -> None:
    model = plain()
    optimizer = make("TR", model, radius_floor="fixed", **WIDE)
    scheduler = schedulers.LambdaLR(optimizer, lambda epoch: 1e-3 if epoch == 0 else 1.0)
    _step(optimizer, model, 0)
    assert optimizer.radius == pytest.approx(1e-3)
    scheduler.step()
    _step(optimizer, model, 1)
    assert optimizer.last_step.radius_before == 0.05


def test_factors_of_their_own_are_refused() -> None:
    model = plain()
    optimizer = make("NAPTS", model)
    schedulers.LambdaLR(optimizer, [lambda _: 1.0, lambda _: 0.5, *[lambda _: 1.0] * 2])
    with pytest.raises(ValueError, match=r"lr cannot differ between groups, found 1\.0 in group 0"):
        _step(optimizer, model, 0)
    with pytest.raises(ValueError, match="lr cannot differ between groups"):
        napts.TR([{"params": list(plain().parameters()), "lr": 0.1}])


def test_a_factor_may_be_a_tensor() -> None:
    model = plain()
    optimizer = make("TR", model, **WIDE)
    optimizer.param_groups[0]["lr"] = torch.tensor(0.25)
    _step(optimizer, model, 0)
    assert math.isclose(optimizer.last_step.trials[0].radius, 0.25)


def test_a_schedule_may_cycle_betas_too() -> None:
    """What OneCycleLR does to any optimizer that has them; moments go on."""
    model = plain()
    optimizer = make("NAPTS", model, moments="kept", **WIDE)
    scheduler = schedulers.OneCycleLR(optimizer, max_lr=1.0, total_steps=9)
    for seed in range(6):
        _step(optimizer, model, seed)
        scheduler.step()
    assert optimizer.param_groups[0]["betas"] != (0.9, 0.999)
    assert optimizer.state_dict()["state"][0]["moments"]["count"] == 6
