"""Vectors of one layout as vectors of another: when parameters are frozen, added or reloaded."""

import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from napts.optim.vectors import Layout, Vector


class Move:
    """Takes vectors from one layout to the next.

    Args:
        old: The layout that they have.
        new: The layout that they get.

    Attributes:
        sources: For each new block, the old one with exactly the same parameters, or ``None``.
    """

    def __init__(self, old: Layout, new: Layout) -> None:
        self._old = old
        self._new = new
        self.sources = [_same_block(block, old.blocks) for block in new.blocks]

    def __call__(self, vector: Vector) -> Vector:
        """Return a vector in the new layout; parameters that it lacks get their current value."""
        parts = {
            id(p): part for p, part in zip(self._old.parameters, self._cut(vector), strict=True)
        }
        moved = []
        for block, source in zip(self._new.blocks, self.sources, strict=True):
            if source is not None:
                moved.append(vector[source])
                continue
            pieces = [parts.get(id(p), p.detach().reshape(-1)).to(p) for p in block]
            moved.append(torch.cat(pieces))
        return moved

    def _cut(self, vector: Vector) -> list[Tensor]:
        return [
            part
            for flat, block in zip(vector, self._old.blocks, strict=True)
            for part in flat.split([p.numel() for p in block])
        ]


def _same_block(block: Sequence[Tensor], among: Sequence[Sequence[Tensor]]) -> int | None:
    return next((i for i, other in enumerate(among) if identical(block, other)), None)


def identical(first: Sequence[Tensor], second: Sequence[Tensor]) -> bool:
    """Tell whether two lists hold the same objects in the same order."""
    return len(first) == len(second) and all(map(operator.is_, first, second))


def fitted(state: Any, layout: Layout) -> Any:
    """Return a saved state with every vector in it moved to its blocks' dtypes and devices.

    Args:
        state: Numbers, tensors, lists, tuples and dictionaries; a list or tuple of only tensors
            is a vector.
        layout: The layout of the vectors.

    Raises:
        ValueError: If a vector does not have that layout.
    """
    if isinstance(state, dict):
        return {name: fitted(value, layout) for name, value in state.items()}
    if not isinstance(state, (list, tuple)):
        return state
    if not state or not all(isinstance(value, Tensor) for value in state):
        return type(state)(fitted(value, layout) for value in state)
    found, wanted = [flat.numel() for flat in state], layout.sizes
    if found != wanted:
        raise ValueError(
            f"the state dict has vectors of {found} numbers, this optimizer trains blocks of "
            f"{wanted}: freeze and group parameters as they were when it was saved"
        )
    return [flat.to(block[0]) for flat, block in zip(state, layout.blocks, strict=True)]
