"""A step that fails leaves nothing behind."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import napts
from tests.helpers.networks import batch, closure, make, plain

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("TR", {}),
    ("TR", {"order": 2}),
    ("TR", {"decoupled_weight_decay": True, "weight_decay": 0.1}),
    ("NTR", {}),
    ("NTR", {"order": 2, "history_scope": "reeval"}),
    ("NTR", {"history": "constant-memory", "window": 2}),
    ("NTR", {"history_scope": "per_batch"}),
    ("APTS", {}),
    ("APTS", {"shared_radius": False}),
    ("APTSA", {"moments": "kept"}),
    ("NAPTS", {"moments": "kept", "shared_history": False}),
    ("NAPTS", {"history": "constant-memory", "history_scope": "reeval", "window": 2}),
    ("APTSW", {"order": 2}),
    ("APTSD", {}),
]


class Stop(Exception):
    """What a closure raises here."""


def _optimizer(method: str, model: nn.Module, **options: Any) -> Any:
    if method == "APTSD":
        return napts.APTSD(model.parameters(), **options)
    return make(method, model, **options)


def _loss(method: str, model: nn.Module, seed: int, before: Callable[[], None]) -> Any:
    def evaluate(inputs: Tensor, targets: Tensor) -> Tensor:
        before()
        return nn.functional.cross_entropy(model(inputs), targets)

    data = batch(seed)
    return napts.SplitBatch(evaluate, *data) if method == "APTSD" else lambda: evaluate(*data)


def _state(optimizer: Any) -> list[Any]:
    """Everything that a later step depends on, tensors as lists."""

    def plainly(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.tolist()
        if isinstance(value, dict):
            return {key: plainly(part) for key, part in value.items() if key != "blocks"}
        return [plainly(part) for part in value] if isinstance(value, (list, tuple)) else value

    parameters = [p.detach().clone() for g in optimizer.param_groups for p in g["params"]]
    return [plainly(optimizer.state_dict()), plainly(parameters)]


@pytest.mark.parametrize(("method", "options"), VARIANTS)
def test_a_closure_that_raises_leaves_no_trace(method: str, options: dict[str, Any]) -> None:
    """At whichever of its calls it raises; the steps after it are those of an undisturbed run."""
    models = plain(), plain()
    # Radii at which every phase is rejected now and then.
    bounds = {"norm": "l2", "radius": 0.8, "radius_min": 0.01, "radius_max": 4.0}
    disturbed, whole = (_optimizer(method, m, **bounds, **options) for m in models)
    calls = [0, 0]

    def stop() -> None:
        calls[0] += 1
        if calls[0] == calls[1]:
            raise Stop

    for seed in range(4):
        before, interrupted = _state(disturbed), 0
        for calls[1] in range(1, 200):
            calls[0] = 0
            try:
                disturbed.step(_loss(method, models[0], seed, stop))
                break
            except Stop:
                interrupted += 1
                assert _state(disturbed) == before
        assert interrupted >= 2
        whole.step(_loss(method, models[1], seed, lambda: None))
        assert _state(disturbed) == _state(whole)


@pytest.mark.parametrize("options", [{}, {"order": 2}, {"history_scope": "per_batch"}])
def test_a_loss_that_is_not_finite_leaves_no_trace(options: dict[str, Any]) -> None:
    model = plain()
    optimizer = make("NTR", model, weight_decay=0.1, decoupled_weight_decay=True, **options)
    for seed in range(3):
        optimizer.step(closure(model, batch(seed)))
    before = _state(optimizer)
    loss = optimizer.step(lambda: closure(model, batch())() * float("nan"))
    assert loss != loss
    assert _state(optimizer) == before
    assert not optimizer.last_step.accepted


def test_an_interrupt_counts_as_well() -> None:
    model = plain()
    optimizer = make("NTR", model, order=2)
    for seed in range(3):
        optimizer.step(closure(model, batch(seed)))
    before, calls = _state(optimizer), []

    def interrupted() -> Tensor:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return closure(model, batch(5))()

    with pytest.raises(KeyboardInterrupt):
        optimizer.step(interrupted)
    assert _state(optimizer) == before
    assert torch.is_grad_enabled()
