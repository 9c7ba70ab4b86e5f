"""What only a CUDA device can show; skipped without one."""

from typing import Any

import pytest
import torch
from torch import nn

import napts
from tests.helpers.networks import METHODS, batch, closure, plain

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
LIGHT = napts.preset("NAPTS", "light")
SCHWARZ: list[dict[str, Any]] = [{}, LIGHT, {"cap": "clip", "shares": "joint"}]


def _transfers(method: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return for each step the number of scalars' transfers and of acceptance tests."""
    model = plain(torch.float32).cuda()
    data = tuple(part.cuda() for part in batch(dtype=torch.float32))
    first: Any = model.parameters()
    if method not in ("TR", "NTR", "TTR", "STTR"):
        first = napts.partition_layers(model, 4)
    optimizer = getattr(napts, method)(first, **options)
    optimizer.step(closure(model, data))  # compares local gradients, which waits for the device
    calls = 0
    original = torch.Tensor.tolist

    def counted(tensor: torch.Tensor) -> Any:
        nonlocal calls
        calls += tensor.is_cuda
        return original(tensor)

    monkeypatch.setattr(torch.Tensor, "tolist", counted)
    surplus = []
    for _ in range(5):
        calls = 0
        optimizer.step(closure(model, data))
        tests = sum(trial.evaluated for trial in optimizer.last_step.trials)
        surplus.append(calls - tests)
    return surplus


@pytest.mark.parametrize("method", METHODS)
def test_one_transfer_for_each_acceptance_test(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _transfers(method, {}, monkeypatch) == [0] * 5


@pytest.mark.parametrize("options", SCHWARZ)
def test_options_need_no_more_transfers(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _transfers("NAPTS", options, monkeypatch) == [0] * 5


@pytest.mark.parametrize("probed", [True, False])
def test_one_transfer_for_each_probe_beside_that_of_the_loss(
    probed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, every = (8, 1) if probed else (0, 1000)
    options = {"first_probes": first, "probe_every": every}
    assert _transfers("TTR", options, monkeypatch) == [1] * 5
    assert _transfers("STTR", options, monkeypatch) == [1] * 5


def test_local_steps_wait_for_nothing() -> None:
    model = plain(torch.float32).cuda()
    inputs, targets = (part.cuda() for part in batch(dtype=torch.float32))
    stages = napts.partition_layers(model, 4, compile_local=True)
    optimizer = napts.NAPTS(stages, local_steps=5, global_step="never")
    for _ in range(3):
        loss = optimizer.step(closure(model, (inputs, targets)))
    assert loss > 0


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("method", ["APTSW", "APTSD"])
def test_the_earlier_members_do_there_what_they_do_on_the_cpu(method: str, order: Any) -> None:
    losses = []
    for device in ("cpu", "cuda"):
        model = plain().to(device)
        if method == "APTSW":
            sets = napts.deal_parameters(model, 4)
            optimizer = napts.APTSW(sets, order=order, forced_decrease=True)
        else:
            optimizer = napts.APTSD(model.parameters(), shards=3, order=order)
        inputs, targets = (part.to(device) for part in batch())
        whole = napts.SplitBatch(
            lambda x, y, model=model: nn.functional.cross_entropy(model(x), y), inputs, targets
        )
        losses.append([optimizer.step(whole) for _ in range(5)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
