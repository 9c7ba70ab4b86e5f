"""What one iteration pays for, leaves behind and refuses."""

import copy
import math

import pytest
import torch
from torch import Tensor, nn

import napts
from tests.helpers.networks import (
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

SCHWARZ = ("APTS", "APTSA", "NAPTS")


def _metered() -> tuple[nn.Sequential, list[PassMeter]]:
    meters = [PassMeter() for _ in range(4)]
    blocks: list[nn.Module] = []
    for (inputs, outputs), meter in zip(((6, 16), (16, 12), (12, 8), (8, 4)), meters, strict=True):
        blocks += [nn.Linear(inputs, outputs), meter, nn.Tanh()]
    torch.manual_seed(0)
    return nn.Sequential(*blocks[:-1]).double(), meters


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("local_steps", [1, 3, 5])
def test_the_counted_passes_are_those_that_happened(method: str, local_steps: int) -> None:
    model, meters = _metered()
    options = {"local_steps": local_steps} if method in SCHWARZ else {}
    optimizer = make(method, model, radius=1.0, radius_min=0.2, **options)
    for step in range(30):
        before = [(m.forwards, m.backwards) for m in meters]
        optimizer.step(closure(model, batch(step % 3)))
        record = optimizer.last_step
        for meter, (forwards, backwards) in zip(meters, before, strict=True):
            local = record.local_passes + record.checks
            assert meter.forwards - forwards == record.forwards + local
            assert meter.backwards - backwards == record.backwards + local
        # One comparison of local gradients with the global one, where there are local gradients.
        assert record.checks == (step == 0 and method in SCHWARZ and local_steps > 1)


@pytest.mark.parametrize(
    ("method", "forwards", "backwards"),
    [("TR", 2, 1), ("NTR", 2, 1), ("APTS", 3, 2), ("APTSA", 3, 2), ("NAPTS", 3, 2)],
)
def test_an_accepted_batch_costs_the_minimum(method: str, forwards: int, backwards: int) -> None:
    model = plain()
    optimizer = make(method, model, radius=1e-3)
    optimizer.step(closure(model, batch()))
    record = optimizer.last_step
    assert record.rejections == 0
    assert (record.forwards, record.backwards) == (forwards, backwards)
    assert record.local_passes == (4 if method in SCHWARZ else 0)


@pytest.mark.parametrize("method", ["TR", "NTR", "APTS", "NAPTS"])
def test_rejected_trials_leave_no_trace(method: str) -> None:
    """Parameters as before; buffers and random state as after the one pass at the start."""
    model = noisy()
    other = copy.deepcopy(model)
    options = {"radius": 50.0, "radius_min": 40.0, "radius_max": 60.0, "eta_1": 0.98, "eta_2": 0.99}
    optimizer = make(method, model, **options)
    torch.manual_seed(5)
    start = [p.detach().clone() for p in model.parameters()]
    optimizer.step(closure(model, batch()))
    state = torch.get_rng_state()
    assert not optimizer.last_step.accepted
    assert optimizer.last_step.rejections >= 2
    assert all(torch.equal(a, b) for a, b in zip(start, model.parameters(), strict=True))
    torch.manual_seed(5)
    closure(other, batch())()
    assert same(snapshot(model), snapshot(other))
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("method", METHODS)
def test_random_state_and_buffers_advance_by_one_pass_per_iteration(method: str) -> None:
    model = noisy()
    optimizer = make(method, model)
    torch.manual_seed(5)
    for _ in range(4):
        optimizer.step(closure(model, batch()))
    state = torch.get_rng_state()
    assert model[1].num_batches_tracked == 4
    torch.manual_seed(5)
    for _ in range(4):
        model(batch()[0])
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("method", METHODS)
def test_within_an_iteration_the_loss_is_a_function_of_the_parameters(method: str) -> None:
    """All evaluations at equal parameters give equal losses, dropout and BatchNorm or not."""
    model = noisy()
    optimizer = make(method, model, radius=0.5, radius_min=0.4)
    seen: dict[bytes, float] = {}

    def watched() -> Tensor:
        loss = closure(model, batch())()
        key = b"".join(p.detach().numpy().tobytes() for p in model.parameters())
        assert seen.setdefault(key, loss.item()) == loss.item()
        return loss

    for _ in range(10):
        seen.clear()
        optimizer.step(watched)
        record = optimizer.last_step
        assert record.loss in seen.values()


def test_the_intermediate_gradient_is_that_of_the_same_masks() -> None:
    """The loss before the global step is the proposal's trial loss, bit for bit."""
    model = noisy()
    optimizer = make("NAPTS", model)
    for _ in range(5):
        optimizer.step(closure(model, batch()))
        trials = optimizer.last_step.trials
        assert trials[-1].phase == "global"
        taken = [t for t in trials if t.accepted and t.phase != "global"]
        assert trials[-1].loss == (taken[-1].trial_loss if taken else optimizer.last_step.loss)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_trials_without_a_finite_loss_are_refused(method: str, bad: float) -> None:
    model = plain()
    optimizer = make(method, model)
    calls = 0

    def poisoned() -> Tensor:
        nonlocal calls
        calls += 1
        loss = closure(model, batch())()
        return loss if calls == 1 else loss * bad

    before = snapshot(model)
    optimizer.step(poisoned)
    record = optimizer.last_step
    assert not record.accepted
    assert record.radius_after < record.radius_before
    assert same(before, snapshot(model))
    for history in optimizer.state_dict()["state"][0]["histories"]:
        assert history.get("entries", []) == []


@pytest.mark.parametrize("method", METHODS)
def test_a_loss_that_is_not_finite_stops_the_iteration(method: str) -> None:
    model = plain()
    optimizer = make(method, model)
    before = snapshot(model)
    loss = optimizer.step(lambda: closure(model, batch())() * math.nan)
    assert math.isnan(loss)
    assert same(before, snapshot(model))
    assert optimizer.last_step.radius_after == optimizer.last_step.radius_before
    assert not optimizer.last_step.accepted


@pytest.mark.parametrize("method", METHODS)
def test_a_closure_that_differentiates_is_refused(method: str) -> None:
    model = plain()
    optimizer = make(method, model)

    def differentiates() -> Tensor:
        loss = closure(model, batch())()
        loss.backward()
        return loss

    with pytest.raises(ValueError, match=r"must not call backward\(\): write `optimizer.step"):
        optimizer.step(differentiates)


def test_a_closure_that_differentiates_and_keeps_its_graph_is_refused_too() -> None:
    model = plain()
    optimizer = make("NAPTS", model)

    def differentiates() -> Tensor:
        loss = closure(model, batch())()
        loss.backward(retain_graph=True)
        return loss

    with pytest.raises(ValueError, match="must not call backward"):
        optimizer.step(differentiates)


@pytest.mark.parametrize("returned", [None, 1.0, torch.ones(3, requires_grad=True)])
def test_a_closure_must_return_a_scalar_tensor(returned: object) -> None:
    optimizer = make("TR", plain())
    with pytest.raises(ValueError, match="must return the loss, a scalar tensor"):
        optimizer.step(lambda: returned)


def test_a_loss_without_a_gradient_is_named() -> None:
    optimizer = make("TR", plain())
    with pytest.raises(ValueError, match="does not depend on the optimizer's parameters"):
        optimizer.step(lambda: torch.tensor(1.0))


@pytest.mark.parametrize("method", SCHWARZ)
def test_every_subdomain_moves(method: str) -> None:
    """The public code of an ancestor zeroed the gradient before the local step."""
    model = plain()
    stages = napts.partition_layers(model, 4)
    before = [[p.detach().clone() for p in stage.parameters()] for stage in stages]
    getattr(napts, method)(stages, radius=1e-3).step(closure(model, batch()))
    for stage, old in zip(stages, before, strict=True):
        assert all(not torch.equal(a, b) for a, b in zip(stage.parameters(), old, strict=True))


@pytest.mark.parametrize("method", METHODS)
def test_reaches_a_stationary_point_and_stays(method: str) -> None:
    """500 steps on a problem whose gradient vanishes: nothing fails, the loss never rises."""
    torch.manual_seed(0)
    model = nn.Sequential(*[nn.Linear(3, 3) for _ in range(4)]).double()
    inputs = torch.randn(20, 3, dtype=torch.float64)
    optimizer = make(method, model, radius_min=1e-12)
    losses = [optimizer.step(lambda: model(inputs).square().mean()) for _ in range(500)]
    assert losses[-1] < 1e-5
    assert all(math.isfinite(loss) for loss in losses)


@pytest.mark.parametrize("method", METHODS)
def test_at_a_zero_gradient_nothing_moves(method: str) -> None:
    model = nn.Sequential(*[nn.Linear(3, 3) for _ in range(4)]).double()
    for p in model.parameters():
        nn.init.zeros_(p)
    inputs = torch.randn(20, 3, dtype=torch.float64)
    optimizer = make(method, model)
    for _ in range(3):
        assert optimizer.step(lambda: model(inputs).square().mean()) == 0.0
    assert all(p.abs().max() == 0 for p in model.parameters())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("failing_call", [1, 2, 3])
def test_a_closure_that_raises_leaves_the_parameters(method: str, failing_call: int) -> None:
    """At any evaluation: parameters as before, no hooks left behind, and the next step works."""
    model = noisy()
    optimizer = make(method, model)
    before = [p.detach().clone() for p in model.parameters()]
    calls = 0

    def fails() -> Tensor:
        nonlocal calls
        calls += 1
        loss = closure(model, batch())()
        if calls == failing_call:
            raise MemoryError("no room")
        return loss

    if failing_call == 3 and method in ("TR", "NTR"):
        optimizer.step(fails)
        before = [p.detach().clone() for p in model.parameters()]
    with pytest.raises(MemoryError, match="no room"):
        optimizer.step(fails)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in model.modules())
    assert not torch.nn.modules.module._global_forward_pre_hooks
    optimizer.step(closure(model, batch()))
    assert optimizer.last_step.accepted
