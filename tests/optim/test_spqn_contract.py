"""Quasi-Newton methods as optimizers of torch: states, copies, failures, options."""

import copy
import io
import math
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import napts
from tests.helpers.spqn import ALL, LAYERED, flat, make, network, problem_of, trained


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
