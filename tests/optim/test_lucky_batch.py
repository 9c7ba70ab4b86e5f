"""What a batch with an unusually low loss does to the memories, as their docstrings say."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.helpers.networks import batch, closure, make, plain

LUCKY, STEPS, WINDOW = 3, 24, 4


def _run(**options: Any) -> list[Any]:
    """Return the memory after every step; one batch has a loss far below all others."""
    model, memories = plain(), []
    optimizer = make("NTR", model, window=WINDOW, radius=0.01, radius_max=0.01, **options)
    for step in range(STEPS):
        loss = closure(model, batch(step))
        lowered = (lambda f=loss: f() - 10.0) if step == LUCKY else loss
        optimizer.step(lowered)
        assert optimizer.last_step.accepted
        memories.append(optimizer.state_dict()["state"][0]["histories"][0])
    return memories


def _references(memories: list[Any]) -> list[float]:
    return [memory["reference"]["loss"] for memory in memories]


def test_constant_memory_freezes_its_reference() -> None:
    memories = _run(history="constant-memory")
    settled = memories[LUCKY + WINDOW :]
    assert len(set(_references(settled))) == 1
    assert settled[-1]["minimum"] < -8.0
    promised = [memory["reference"]["predicted"] for memory in settled]
    assert promised == sorted(promised)
    assert promised[-1] > 2 * promised[0]


def test_a_window_forgets_it() -> None:
    memories = _run(history="windowed")
    assert all(len(memory["entries"]) == WINDOW for memory in memories[WINDOW:])
    assert min(entry["loss"] for entry in memories[LUCKY]["entries"]) < -8.0
    assert min(entry["loss"] for entry in memories[-1]["entries"]) > 0.0


def test_a_memory_of_one_batch_forgets_it() -> None:
    memories = _run(history="constant-memory", history_scope="per_batch")
    assert len(set(_references(memories[LUCKY + WINDOW :]))) > WINDOW
    assert memories[-1]["minimum"] > 0.0


def test_a_frozen_reference_is_measured_on_the_current_batch() -> None:
    """The iterate stays, the loss that counts is the current batch's."""
    torch.manual_seed(0)
    model = plain()
    calls: list[float] = []
    options = {"history": "constant-memory", "history_scope": "reeval", "window": WINDOW}
    optimizer = make("NTR", model, radius=0.01, radius_max=0.01, **options)

    def counted(data: tuple[Tensor, Tensor]) -> Tensor:
        loss = nn.functional.cross_entropy(model(data[0]), data[1])
        calls.append(float(loss.detach()))
        return loss

    for step in range(STEPS):
        offset = 10.0 if step == LUCKY else 0.0
        calls.clear()
        optimizer.step(lambda s=step, o=offset: counted(batch(s)) - o)
    trial = optimizer.last_step.trials[0]
    past = optimizer.state_dict()["state"][0]["histories"][0]["reference"]
    measured, promised = calls[1], past["predicted"] - trial.predicted_reduction
    ratio = (measured - trial.trial_loss) / (promised + trial.predicted_reduction)
    assert trial.ratio_history == pytest.approx(ratio)
