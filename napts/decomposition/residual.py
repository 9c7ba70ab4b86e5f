"""Residual networks as forward Euler: stages of blocks that a hierarchy can make shallower."""

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import torch
from torch import Tensor, nn

BLOCKS = "blocks"
"""Default name of the module list of a stage."""

Grid = Literal["cells", "nodes"]


class ResidualStage(nn.Module):
    """Forward Euler: ``y <- y + dt act(block(y))`` for one block after the other.

    The blocks keep the shape of ``y`` and are alike. With ``nn.Linear`` and ``nn.Conv2d`` they are
    the dense and convolutional ones of the slides on multilevel training. A module is also such a
    stage if it has a list of alike modules called ``blocks`` and its forward takes steps of a
    length proportional to ``1 / len(self.blocks)``.

    Args:
        blocks: The blocks, at least one.
        activation: ``act``.
        time: The length ``T`` of the time interval, independent of the number of blocks.
        grid: ``"cells"``: ``dt = T / K`` for ``K`` blocks; ``"nodes"``: ``dt = T / (K - 1)``, as in
            the authors' code for physics-informed networks.

    Raises:
        ValueError: There is no block, or ``time`` is not positive.
    """

    def __init__(
        self,
        blocks: Iterable[nn.Module],
        *,
        activation: Callable[[Tensor], Tensor] = torch.tanh,
        time: float = 1.0,
        grid: Grid = "cells",
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        if not len(self.blocks):
            raise ValueError("blocks: found none, allowed: at least 1")
        if not time > 0.0:
            raise ValueError(f"Invalid time: {time}, must be above 0")
        if grid not in ("cells", "nodes"):
            raise ValueError(f"Invalid grid: {grid}, must be one of cells, nodes")
        self.activation, self.time, self.grid = activation, time, grid

    @property
    def dt(self) -> float:
        """The length of a step."""
        count = len(self.blocks)
        return self.time / (count if self.grid == "cells" else max(count - 1, 1))

    def forward(self, y: Tensor) -> Tensor:
        """Return the final state, in the shape of ``y``."""
        dt = self.dt
        for block in self.blocks:
            y = torch.add(y, self.activation(block(y)), alpha=dt)
        return y


def residual_network(
    first: nn.Module,
    blocks: Iterable[nn.Module],
    last: nn.Module,
    *,
    activation: Callable[[], nn.Module] = nn.Tanh,
    time: float = 1.0,
    grid: Grid = "cells",
) -> nn.Sequential:
    """Return ``last(stage(act(first(x))))`` with one stage of blocks.

    Args:
        first: From inputs to states.
        blocks: The blocks, alike, from states to states.
        last: From states to outputs.
        activation: Makes ``act``.
        time: See :class:`ResidualStage`.
        grid: Likewise.

    Example:
        >>> blocks = [nn.Linear(32, 32) for _ in range(12)]
        >>> model = napts.residual_network(nn.Linear(64, 32), blocks, nn.Linear(32, 10))
    """
    act = activation()
    stage = ResidualStage(blocks, activation=act, time=time, grid=grid)
    return nn.Sequential(first, act, stage, last)


def stages_in(model: nn.Module, blocks: str = BLOCKS) -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules that have a list of blocks, with their names.

    Args:
        model: The network.
        blocks: The name of the lists.
    """
    for name, module in model.named_modules():
        if isinstance(module._modules.get(blocks), nn.ModuleList):
            yield name, module


def squares_in_time(model: nn.Module, blocks: str = BLOCKS) -> Tensor:
    """Return the sum of the squares of all parameters, with those of blocks as a mean over time.

    Each block of a stage of ``K`` counts ``1 / K``, so that networks of all depths in a hierarchy
    have the same penalty: ``(1/T)`` times the integral of the squares over time, rather than a sum
    that grows with the depth (derived from the slides, which scale it by level; it is our choice
    that a single block counts as much as the first layer).

    Args:
        model: The network.
        blocks: The name of the lists of blocks.
    """
    lists = [stage._modules[blocks] for _, stage in stages_in(model, blocks)]
    stages = [list(found.parameters()) for found in lists if isinstance(found, nn.ModuleList)]
    inside = {id(p) for parameters in stages for p in parameters}
    rest = [p for p in model.parameters() if id(p) not in inside]
    total = _squares(rest)
    for found, parameters in zip(lists, stages, strict=True):
        assert isinstance(found, nn.ModuleList)
        total = total + _squares(parameters) / len(found)
    return total


def _squares(parameters: list[nn.Parameter]) -> Tensor:
    """Return the sum of squares, with few operations whatever the number of tensors."""
    if not parameters:
        return torch.zeros(())
    return torch.cat([p.reshape(-1) for p in parameters]).square().sum()
