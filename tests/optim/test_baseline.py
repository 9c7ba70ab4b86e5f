"""Adam, SGD and LBFGS behind the interface of the methods: the same numbers as torch's own loop."""

import copy
import math
import pickle
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


def _flattened(kind: str, calls_before: int, bad: str) -> tuple[nn.Module, Baseline, Any]:
    """A closure that is not finite after some calls: its loss, or its gradient alone."""
    model = plain()
    cls, options = OPTIMIZERS[kind]
    adapted, calls = Baseline(cls(model.parameters(), **options)), 0

    def evaluate() -> Tensor:
        nonlocal calls
        calls += 1
        loss = closure(model, batch())()
        if calls <= calls_before:
            return loss
        return loss * math.nan if bad == "loss" else loss + (0 * model[0].bias).sum().sqrt()

    return model, adapted, evaluate


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("bad", ["loss", "gradient"])
@pytest.mark.parametrize("begun", [False, True])
def test_without_a_finite_gradient_nothing_changes(name: str, bad: str, begun: bool) -> None:
    model, adapted, evaluate = _flattened(name, 0, bad)
    if begun:
        adapted.step(closure(model, batch()))
    before, state = snapshot(model), copy.deepcopy(adapted.state_dict())
    loss = adapted.step(evaluate)
    assert math.isnan(loss) == (bad == "loss")
    assert same(before, snapshot(model))
    assert str(adapted.state_dict()) == str(state)
    assert adapted.last_step is not None
    assert not adapted.last_step.accepted
    losses = [adapted.step(closure(model, batch())) for _ in range(3)]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("bad", ["loss", "gradient"])
@pytest.mark.parametrize("good", [1, 2, 3])
def test_lbfgs_that_meets_what_is_not_finite_starts_anew(bad: str, good: int) -> None:
    model, adapted, evaluate = _flattened("LBFGS", good, bad)
    before = snapshot(model)
    loss = adapted.step(evaluate)
    assert loss == closure(model, batch())()
    assert same(before, snapshot(model))
    assert not adapted.state
    assert adapted.last_step is not None
    assert not adapted.last_step.accepted
    twin = plain()
    fresh = Baseline(OPTIMIZERS["LBFGS"][0](twin.parameters(), **OPTIMIZERS["LBFGS"][1]))
    for _ in range(3):
        assert adapted.step(closure(model, batch())) == fresh.step(closure(twin, batch()))


@pytest.mark.parametrize("kinds", ["one", "several"])
def test_a_large_gradient_is_finite(kinds: str) -> None:
    """Also where its norm, in single precision, is not."""
    model = plain(torch.float32)
    if kinds == "several":
        model[6].double()
    adapted = Baseline(torch.optim.SGD(model.parameters(), lr=1e-32))
    before = snapshot(model)
    adapted.step(lambda: model[0].weight.sum() * 1e30 + model[6].weight.sum())
    assert adapted.last_step is not None
    assert adapted.last_step.accepted
    assert not same(before, snapshot(model))


def test_it_is_an_optimizer_of_torch() -> None:
    model = plain()
    inner = torch.optim.SGD(model[:3].parameters(), lr=0.5, momentum=0.9)
    adapted = Baseline(inner)
    assert isinstance(adapted, torch.optim.Optimizer)
    adapted.add_param_group({"params": list(model[3:].parameters()), "lr": 0.25})
    assert adapted.param_groups is inner.param_groups
    assert adapted.defaults is inner.defaults
    seen: list[str] = []
    adapted.register_step_pre_hook(lambda *_: seen.append("before"))
    adapted.register_step_post_hook(lambda *_: seen.append("after"))
    adapted.register_state_dict_pre_hook(lambda _: seen.append("saving"))
    adapted.register_state_dict_post_hook(lambda _, state: {**state, "note": 1})
    adapted.register_load_state_dict_pre_hook(lambda _, state: {**state, "note": None})
    adapted.register_load_state_dict_post_hook(lambda _: seen.append("loaded"))
    adapted.step(closure(model, batch()))
    assert adapted.state is inner.state
    assert len(adapted.state) == 8
    saved = adapted.state_dict()
    assert saved.pop("note") == 1
    assert str(saved) == str(inner.state_dict())
    adapted.load_state_dict(saved)
    assert seen == ["before", "after", "saving", "loaded"]
    assert all(p.grad is not None for p in model.parameters())
    adapted.zero_grad()
    assert all(p.grad is None for p in model.parameters())
    assert "lr: 0.25" in repr(adapted)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("clone", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_copies_go_on_alike(name: str, clone: Any) -> None:
    kind, options = OPTIMIZERS[name]
    model = plain()
    adapted = Baseline(kind(model.parameters(), **options))
    adapted.step(closure(model, batch()))
    twin_model, twin = clone((model, adapted))
    assert twin.last_step == adapted.last_step
    for _ in range(3):
        assert adapted.step(closure(model, batch())) == twin.step(closure(twin_model, batch()))
    assert same(snapshot(model), snapshot(twin_model))


def test_schedulers_drive_the_optimizer_inside() -> None:
    model, twin = plain(), plain()
    inner = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    pure = torch.optim.SGD(twin.parameters(), lr=0.5, momentum=0.9)
    adapted = Baseline(inner)
    mine = torch.optim.lr_scheduler.OneCycleLR(adapted, max_lr=0.5, total_steps=12)
    theirs = torch.optim.lr_scheduler.OneCycleLR(pure, max_lr=0.5, total_steps=12)
    for step in range(10):
        data = batch(step)
        assert adapted.step(closure(model, data)) == _torch_step(pure, twin, data)
        mine.step()
        theirs.step()
        assert inner.param_groups[0]["lr"] == pure.param_groups[0]["lr"]
    assert same(snapshot(model), snapshot(twin))


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("detached", [True, False])
def test_backward_in_the_closure(name: str, detached: bool) -> None:
    """Its gradients would be added to those that are asked for here."""
    kind, options = OPTIMIZERS[name]
    model = plain()
    adapted = Baseline(kind(model.parameters(), **options))

    def backward() -> Tensor:
        loss = closure(model, batch())()
        loss.backward(retain_graph=True)
        return loss.detach() if detached else loss

    before = snapshot(model)
    with pytest.raises(ValueError, match=r"must not call backward"):
        adapted.step(backward)
    assert same(before, snapshot(model))
    with pytest.raises(ValueError, match="must return the loss, a scalar tensor"):
        adapted.step(lambda: model(batch()[0]))


@pytest.mark.parametrize("good", [True, False])
def test_gradients_may_be_sparse(good: bool) -> None:
    table = nn.Embedding(5, 3, sparse=True)
    before = table.weight.detach().clone()
    adapted = Baseline(torch.optim.SparseAdam(list(table.parameters()), lr=0.1))
    scale = 1.0 if good else math.inf
    adapted.step(lambda: (table(torch.tensor([1, 1, 4])) * scale).atan().sum())
    assert torch.equal(before[0], table.weight[0])
    assert torch.equal(before, table.weight) != good
