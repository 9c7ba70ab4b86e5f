"""A small residual network, and what tests do with hierarchies of it."""

from typing import Any

import torch
from torch import Tensor, nn

import napts
from napts.decomposition import ResidualHierarchy
from napts.optim.batch import Batch, SplitBatch
from napts.optim.vectors import Layout, Vector

WIDTH = 4


def network(blocks: int = 8, seed: int = 1) -> nn.Sequential:
    """From two numbers to one, in float64."""
    torch.manual_seed(seed)
    layers = [nn.Linear(WIDTH, WIDTH) for _ in range(blocks)]
    return napts.residual_network(nn.Linear(2, WIDTH), layers, nn.Linear(WIDTH, 1)).double()


def samples() -> tuple[Tensor, Tensor]:
    """Forty of them."""
    torch.manual_seed(0)
    inputs = torch.randn(40, 2).double()
    return inputs, torch.sin(inputs[:, :1]) * inputs[:, 1:]


def batch_of(model: nn.Module, *, key: str | None = "all") -> Batch:
    """All samples, whose loss is known again from step to step if they have a key."""

    def loss(x: Tensor, y: Tensor) -> Tensor:
        return (model(x) - y).square().mean()

    found = SplitBatch(loss, *samples())
    found.function_key = key
    return found


def rmtr(
    model: nn.Module, /, levels: int = 3, transfer: Any = "cell", **options: Any
) -> napts.RMTR:
    """The method on a hierarchy of the network."""
    return napts.RMTR(napts.residual_hierarchy(model, levels, transfer=transfer), **options)


@torch.no_grad()
def where(optimizer: napts.RMTR) -> Vector:
    """Where the finest network stands."""
    return optimizer._hierarchy.layouts[-1].read()


@torch.no_grad()
def random(layout: Layout, seed: int) -> Vector:
    """A vector of standard normal numbers."""
    torch.manual_seed(seed)
    return [torch.randn_like(flat) for flat in layout.read()]


def write(hierarchy: ResidualHierarchy, level: int, vector: Vector) -> None:
    """Set the parameters of a level."""
    with torch.no_grad():
        hierarchy.layouts[level].write(vector)
