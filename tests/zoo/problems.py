"""What training loops are tried on: a small network, its batch, and a few steps."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

import napts
from tests.zoo.training import finite, mean_loss, optimizer

STEPS, GAIN = 8, 0.02


def network(*extra: nn.Module) -> nn.Sequential:
    """Four affine layers, three of which may be followed by others."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Linear(8, 16), nn.Tanh(), *extra]
    layers += [nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 3)]
    return nn.Sequential(*layers).double()


def batch(samples: int = 24) -> tuple[Tensor, Tensor]:
    """A batch for that network."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(samples, 8, generator=generator, dtype=torch.float64)
    return inputs, torch.randint(3, (samples,), generator=generator)


def make(method: str, model: nn.Module, blocks: int = 4, **options: Any) -> Any:
    """A method for a model that is cut automatically."""
    return optimizer(method, model, lambda m: napts.partition_layers(m, blocks), **options)


def trains(
    chosen: Any,
    model: nn.Module,
    closure: Callable[[], Tensor],
    *,
    around: Callable[[], AbstractContextManager[Any]] = nullcontext,
    after: Callable[[], object] = lambda: None,
) -> None:
    """Take some steps and assert that the loss has fallen."""
    before = mean_loss(closure)
    for _ in range(STEPS):
        with around():
            chosen.step(closure)
        after()
    assert finite(model)
    left = mean_loss(closure)
    assert fallen(before, left), f"{before} -> {left}"


def fallen(before: float, after: float) -> bool:
    """Whether a loss has fallen by a share that is no accident."""
    return before - after > GAIN * abs(before)
