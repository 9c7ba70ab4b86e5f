"""Cheaper local passes: reduced precision and compiled stages stay close to the plain ones."""

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import napts
from napts.optim.precision import reduced
from tests.helpers.networks import batch, closure, noisy, plain

CPU = torch.device("cpu")


def local_gradients(stages: Any, model: nn.Module, data: Any) -> list[list[Tensor]]:
    with stages.capture():
        loss = closure(model, data)()
    stages.set_downstream(torch.autograd.grad(loss, stages.boundaries()))
    return [stages.local_gradient(stage) for stage in range(len(stages))]


def test_reduced_precision_is_close_and_keeps_types() -> None:
    model, data = plain(torch.float32), batch(dtype=torch.float32)
    stages = napts.partition_layers(model, 4)
    full = local_gradients(stages, model, data)
    with reduced("bfloat16", CPU):
        short = [stages.local_gradient(stage) for stage in range(4)]
    for mine, theirs in zip(short, full, strict=True):
        for a, b in zip(mine, theirs, strict=True):
            assert a.dtype == b.dtype == torch.float32
            assert not torch.equal(a, b)
            assert (a - b).norm() <= 0.05 * b.norm() + 1e-6


def test_the_loss_itself_stays_in_full() -> None:
    model, data = plain(torch.float32), batch(dtype=torch.float32)
    twin = copy.deepcopy(model)
    expected = float(closure(twin, data)().detach())
    optimizer = napts.NAPTS(napts.partition_layers(model, 4), local_precision="bfloat16")
    assert optimizer.step(closure(model, data)) == expected
    after = float(closure(model, data)().detach())
    assert optimizer.last_step is not None
    assert optimizer.last_step.trial_loss == after


def test_tf32_is_nothing_on_the_cpu_and_is_put_back() -> None:
    before = torch.backends.cuda.matmul.allow_tf32
    with reduced("tf32", CPU):
        assert torch.backends.cuda.matmul.allow_tf32 == before
    with reduced("tf32", torch.device("cuda")):
        assert torch.backends.cuda.matmul.allow_tf32
    assert torch.backends.cuda.matmul.allow_tf32 == before


@pytest.mark.usefixtures("compiler")
def test_compiled_stages_follow_the_plain_ones() -> None:
    """With dropout, BatchNorm and a smaller last batch; the masks are those of the whole pass."""
    model, twin = noisy(), noisy()
    optimizers = [
        napts.NAPTS(napts.partition_layers(m, 2, compile_local=c), local_steps=3)
        for m, c in ((model, True), (twin, False))
    ]
    for step, samples in enumerate((50, 50, 23)):
        losses = []
        for optimizer, network in zip(optimizers, (model, twin), strict=True):
            torch.manual_seed(step)
            losses.append(optimizer.step(closure(network, batch(step, samples))))
        assert losses[0] == pytest.approx(losses[1], rel=1e-9)
    for ours, theirs in zip(model.state_dict().values(), twin.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-9)
    pickle.dumps(copy.deepcopy(optimizers[0]))


def test_channels_last_gives_the_same_network() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.Flatten(), nn.Linear(64, 3))
    ).double()
    twin = copy.deepcopy(model).to(memory_format=torch.channels_last)  # pyright: ignore
    images, targets = torch.randn(10, 3, 8, 8).double(), torch.arange(10) % 3
    lying = images.contiguous(memory_format=torch.channels_last)
    for network, inputs in ((model, images), (twin, lying)):
        optimizer = napts.NAPTS(napts.partition_layers(network, 2))
        for _ in range(5):
            optimizer.step(closure(network, (inputs, targets)))
    weight = twin[0].weight
    assert isinstance(weight, Tensor)
    assert weight.is_contiguous(memory_format=torch.channels_last)
    for ours, theirs in zip(twin.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-10)
