"""What is evaluated: whole, in part, and in other structures than inputs and targets."""

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

import napts
from napts.optim.batch import as_batch
from tests.helpers.networks import batch, same, snapshot


class _Pair(NamedTuple):
    inputs: Tensor
    targets: Tensor


def _model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)).double()


def _data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(12, 5, generator=generator, dtype=torch.float64)
    return inputs, torch.randint(3, (12,), generator=generator)


def _forms(model: nn.Module) -> dict[str, Any]:
    """Return the same batch in every form, and as the class for inputs and targets."""
    inputs, targets = _data()

    def loss(x: Tensor, y: Tensor) -> Tensor:
        return nn.functional.cross_entropy(model(x), y)

    return {
        "split": napts.SplitBatch(loss, inputs, targets),
        "tuple": napts.Batch(lambda batch: loss(*batch), (inputs, targets)),
        "dict": napts.Batch(lambda b: loss(b["x"], b["y"]), {"x": inputs, "y": targets}),
        "named": napts.Batch(lambda b: loss(b.inputs, b.targets), _Pair(inputs, targets)),
        "nested": napts.Batch(lambda b: loss(b[0][0], b[0][1]), [(inputs, targets), "note"]),
        "tensor": napts.Batch(lambda rows: loss(inputs[rows], targets[rows]), torch.arange(12)),
    }


@pytest.mark.parametrize("form", ["tuple", "dict", "named", "nested", "tensor"])
def test_a_batch_of_any_form_gives_the_same_steps(form: str) -> None:
    states = []
    for each in ("split", form):
        model = _model()
        optimizer = napts.APTSD(model.parameters(), shards=3)
        losses = [optimizer.step(_forms(model)[each]) for _ in range(3)]
        states.append((losses, snapshot(model)))
    assert states[0][0] == states[1][0]
    assert same(states[0][1], states[1][1])


def test_a_closure_is_the_simplest_batch() -> None:
    states = []
    for whole in (True, False):
        model = _model()
        batch = _forms(model)["dict"]
        optimizer = napts.TR(model.parameters())
        optimizer.step(batch if whole else lambda of=batch: of())
        states.append((optimizer.last_step, snapshot(model)))
    assert states[0][0] == states[1][0]
    assert same(states[0][1], states[1][1])


def test_parts_and_samples() -> None:
    model = _model()
    whole = _forms(model)["dict"]
    parts = [whole.part(index, 5) for index in range(5)]
    sizes = [part.stop - part.start for part in (whole.samples(i, 5) for i in range(5))]
    assert len(whole) == sum(sizes) == 12
    mean = sum(size * part for size, part in zip(sizes, parts, strict=True)) / 12
    torch.testing.assert_close(mean, whole())
    some = whole.take(torch.tensor([0, 1]))
    assert len(some) == 2
    torch.testing.assert_close(some(), whole.part(0, 6))


def test_what_cannot_be_cut_is_told() -> None:
    model = _model()
    optimizer = napts.APTSD(model.parameters(), shards=2)
    inputs, _ = _data()
    other = napts.Batch(lambda b: model(b[0]).mean() + b[1].sum(), (inputs, torch.ones(3)))
    with pytest.raises(ValueError, match=r"found a tensor of shape \(3,\) beside 12 samples"):
        optimizer.step(other)
    with pytest.raises(ValueError, match="found str, allowed: tensors whose dimension 0"):
        optimizer.step(napts.Batch(lambda _: model(inputs).mean(), "nothing"))
    with pytest.raises(ValueError, match="found a tensor without dimensions"):
        len(napts.Batch(lambda _: model(inputs).mean(), torch.ones(())))
    # As a whole it need not be cut.
    expected = float(other().detach())
    assert napts.TR(model.parameters()).step(other) == pytest.approx(expected)


def test_a_closure_knows_no_parts() -> None:
    inputs, targets = batch()
    known = as_batch(lambda: inputs.sum() + targets.sum())
    assert as_batch(known) is known
    with pytest.raises(ValueError, match="needs to know the parts of a batch"):
        known.part(0, 2)
    with pytest.raises(ValueError, match=r"step\(\) needs a closure that returns the loss, found"):
        as_batch(3)  # pyright: ignore[reportArgumentType]
