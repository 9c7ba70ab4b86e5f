"""Adam, SGD and LBFGS behind the interface of the methods: the same numbers as torch's own loop."""

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from napts.optim import Baseline
from tests.helpers.networks import batch, closure, plain, same, snapshot

OPTIMIZERS: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    "Adam": (torch.optim.Adam, {"lr": 1e-2}),
    "SGD": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    "LBFGS": (torch.optim.LBFGS, {"lr": 0.5, "line_search_fn": "strong_wolfe", "max_iter": 4}),
}


def _torch_step(optimizer: torch.optim.Optimizer, model: nn.Module, data: tuple) -> float:
    def evaluate() -> Any:
        optimizer.zero_grad()
        loss = closure(model, data)()
        loss.backward()
        return loss.detach()

    return float(optimizer.step(evaluate))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_adapter_changes_no_number(name: str) -> None:
    kind, options = OPTIMIZERS[name]
    model, twin = plain(), plain()
    adapted, pure = (
        Baseline(kind(model.parameters(), **options)),
        kind(twin.parameters(), **options),
    )
    for step in range(20):
        data = batch(step % 3)
        assert adapted.step(closure(model, data)) == _torch_step(pure, twin, data)
    assert same(snapshot(model), snapshot(twin))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_evaluation_is_counted(name: str) -> None:
    kind, options = OPTIMIZERS[name]
    model = plain()
    adapted = Baseline(kind(model.parameters(), **options))
    calls = 0

    def counted() -> Tensor:
        nonlocal calls
        calls += 1
        return closure(model, batch())()

    loss = adapted.step(counted)
    record = adapted.last_step
    assert record is not None
    assert record.forwards == record.backwards == calls
    assert (calls > 1) == (name == "LBFGS")
    assert record.loss == loss
    assert record.accepted
    assert record.radius_after is None
    assert record.as_dict()["phase"] is None


@pytest.mark.parametrize("name", ["Adam", "SGD"])
def test_without_a_finite_loss_there_is_no_step(name: str) -> None:
    kind, options = OPTIMIZERS[name]
    model = plain()
    before = snapshot(model)
    adapted = Baseline(kind(model.parameters(), **options))
    assert math.isnan(adapted.step(lambda: closure(model, batch())() * math.nan))
    assert same(before, snapshot(model))
    assert adapted.last_step is not None
    assert not adapted.last_step.accepted


def test_the_state_is_that_of_the_optimizer_inside() -> None:
    model, twin = plain(), plain()
    first = Baseline(torch.optim.Adam(model.parameters(), lr=1e-2))
    for step in range(5):
        first.step(closure(model, batch(step)))
    twin.load_state_dict(model.state_dict())
    second = Baseline(torch.optim.Adam(twin.parameters(), lr=1.0))
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert second.param_groups[0]["lr"] == 1e-2
    assert first.step(closure(model, batch())) == second.step(closure(twin, batch()))
    assert same(snapshot(model), snapshot(twin))
