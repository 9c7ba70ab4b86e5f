"""Optimizers of other packages behind the interface of the methods: their closures, their modes."""

import copy
import io
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from napts.optim import Baseline
from tests.helpers.networks import batch, closure, plain, same, snapshot

RATE = 0.05


def _descend(groups: list[dict[str, Any]], length: float) -> None:
    for group in groups:
        for p in group["params"]:
            if p.grad is not None:
                p.data.add_(p.grad, alpha=length)


class Plain(Optimizer):
    """Gradient descent, whatever its ``step`` takes."""

    def __init__(self, params: Any) -> None:
        super().__init__(params, {"lr": RATE})


class NoClosure(Plain):
    def step(self) -> None:  # type: ignore[override]
        _descend(self.param_groups, -RATE)


class Optional(Plain):
    """As the documentation of torch has it."""

    def step(self, closure: Any = None) -> Any:
        loss = None if closure is None else closure()
        _descend(self.param_groups, -RATE)
        return loss


class Ignores(Plain):
    def step(self, closure: Any = None) -> None:
        _descend(self.param_groups, -RATE)


class Required(Plain):
    """Two evaluations; the first one counts for nothing."""

    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
        closure()
        loss = closure()
        _descend(self.param_groups, -RATE)
        return float(loss)


class Sharp(Plain):
    """Sharpness-aware: moves with the gradient it finds, and steps with the one there."""

    keeps_gradients, hides = False, False

    def step(self, closure: Any = None) -> Any:
        assert closure is not None
        ascents = []
        for group in self.param_groups:
            for p in group["params"]:
                ascents.append((p, p.grad.clone()))
                target = p.data if self.hides else p
                target.add_(p.grad, alpha=0.1)
        if not self.keeps_gradients:
            self.zero_grad()
        loss = closure()
        for p, ascent in ascents:
            p.data.sub_(ascent, alpha=0.1)
        _descend(self.param_groups, -RATE)
        return loss.item()


class SharpHidden(Sharp):
    """Leaves the gradients where they are, and writes through ``.data``."""

    keeps_gradients, hides = True, True


class Extrapolates(Plain):
    """Moves before it evaluates for the first time, as schedule-free methods with a closure do."""

    def step(self, closure: Callable[[], Any]) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                p.mul_(0.9)
        closure()
        _descend(self.param_groups, -RATE)


def _by_hand(kind: type[Optimizer], model: nn.Module, data: Any) -> int:
    """A step as the optimizer's author means it; returns the number of evaluations."""
    optimizer, calls = kind(model.parameters()), 0

    def evaluate() -> Tensor:
        nonlocal calls
        calls += 1
        optimizer.zero_grad()
        with torch.enable_grad():
            loss = closure(model, data)()
            loss.backward()
        return loss.detach()

    with torch.no_grad():
        if kind in (Required, Extrapolates):
            optimizer.step(evaluate)
        else:
            evaluate()
            if kind in (Sharp, SharpHidden):
                optimizer.step(evaluate)
            else:
                optimizer.step()
    return calls


KINDS = [
    NoClosure,
    Optional,
    Ignores,
    Required,
    Sharp,
    SharpHidden,
    Extrapolates,
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_way_to_call_a_closure(kind: type[Plain]) -> None:
    model, twin = plain(), plain()
    adapted, calls = Baseline(kind(model.parameters())), 0

    def counted() -> Tensor:
        nonlocal calls
        calls += 1
        return closure(model, data)()

    for step in range(4):
        data, before = batch(step), calls
        adapted.step(counted)
        expected = _by_hand(kind, twin, data)
        assert same(snapshot(model), snapshot(twin)), step
        record = adapted.last_step
        assert record is not None
        assert calls - before == expected == record.forwards == record.backwards
        assert record.accepted
    if kind is not Extrapolates:
        assert record.loss != closure(model, data)()  # that before the step


@pytest.mark.parametrize("kind", [Required, Sharp, SharpHidden, Extrapolates])
@pytest.mark.parametrize("steps", [0, 2])
def test_a_later_evaluation_that_is_not_finite_is_undone(kind: type[Plain], steps: int) -> None:
    model = plain()
    adapted = Baseline(kind(model.parameters()))
    for step in range(steps):
        adapted.step(closure(model, batch(step)))
    before, calls = snapshot(model), 0

    def spoilt() -> Tensor:
        nonlocal calls
        calls += 1
        return closure(model, batch())() * (math.nan if calls > 1 or kind is Extrapolates else 1.0)

    adapted.step(spoilt)
    assert same(before, snapshot(model))
    assert adapted.last_step is not None
    assert not adapted.last_step.accepted
    adapted.step(closure(model, batch()))
    assert not same(before, snapshot(model))


def test_an_optimizer_that_wants_a_closure_and_calls_none() -> None:
    class Idle(Plain):
        def step(self, closure: Any) -> None:  # type: ignore[override]
            pass

    with pytest.raises(
        RuntimeError, match=r"Idle: step\(\) requires a closure but does not call it"
    ):
        Baseline(Idle(plain().parameters())).step(lambda: torch.zeros(()))


def test_copies_know_how_the_closure_is_called() -> None:
    model = plain()
    adapted = Baseline(SharpHidden(model.parameters()))
    adapted.step(closure(model, batch()))
    twin_model, twin = copy.deepcopy((model, adapted))
    for _ in range(2):
        assert adapted.step(closure(model, batch())) == twin.step(closure(twin_model, batch()))
        assert twin.last_step is not None
        assert twin.last_step.forwards == 2


class Averages(Plain):
    """Keeps its mode in an attribute and an average in its state."""

    training = False

    def _swap(self, training: bool) -> None:
        if self.training != training:
            for group in self.param_groups:
                for p in group["params"]:
                    if "average" in self.state[p]:
                        p.data, self.state[p]["average"] = self.state[p]["average"], p.data
        self.training = training

    def train(self) -> None:
        self._swap(True)

    def eval(self) -> None:
        self._swap(False)

    def step(self, closure: Any = None) -> None:
        assert self.training
        _descend(self.param_groups, -RATE)
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p].setdefault("average", p.detach().clone()).lerp_(p, 0.5)


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_part_of_the_state(training: bool) -> None:
    def go_on(model: nn.Module, adapted: Baseline) -> list[Tensor]:
        adapted.train_mode()
        adapted.step(closure(model, batch(7)))
        adapted.eval_mode()
        return snapshot(model)

    model = plain()
    adapted = Baseline(Averages(model.parameters()))
    adapted.eval_mode()
    adapted.train_mode()
    for step in range(3):
        adapted.step(closure(model, batch(step)))
    iterate = snapshot(model)
    adapted.eval_mode()
    assert not same(iterate, snapshot(model))
    if training:
        adapted.train_mode()
        assert same(iterate, snapshot(model))
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": adapted.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    twin_model = plain()
    twin_model.load_state_dict(saved["model"])
    twin = Baseline(Averages(twin_model.parameters()))
    twin.load_state_dict(saved["optimizer"])
    assert same(snapshot(twin_model), snapshot(model))
    assert same(go_on(twin_model, twin), go_on(model, adapted))
