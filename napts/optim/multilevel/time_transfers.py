"""Transfers between residual networks of different depth, block by block.

A residual network is forward Euler for a differential equation whose parameters depend on time:
its blocks are values of a function of time. The first blocks of a vector are those that all levels
have in the same form, and are copied. Each further block of the vector holds the residual blocks of
one stage, one after the other, all of the same size.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from napts.optim.vectors import Vector

TimeTransfer = Literal["cell", "nodal", "nodal-weighted"]
"""The names of the transfers."""


@dataclass(frozen=True)
class InTime(ABC):
    """What the transfers have in common.

    Attributes:
        common: How many blocks of a vector are copied.
        depths: For each stage, the number of its blocks on the coarser level.
    """

    common: int
    depths: tuple[int, ...]

    stretch = math.sqrt(2.0)
    """``||I s|| <= sqrt(2) ||s||`` in the 2-norm, for all of them (derived)."""

    exact: ClassVar[bool] = True
    """Whether projecting a prolonged vector gives it back, bit for bit."""

    refined: ClassVar[str] = "2 n"
    """How many blocks ``n`` blocks become on the finer level, in words."""

    @staticmethod
    @abstractmethod
    def finer(depth: int) -> int:
        """Return how many blocks a stage has on the finer level."""

    def restrict(self, gradient: Vector) -> Vector:
        """Return the restricted gradient, ``I^T g``."""
        return self._each(gradient, self._restricted)

    def project(self, theta: Vector) -> Vector:
        """Return the parameters of the coarser network."""
        return self._each(theta, self._projected)

    def prolong(self, step: Vector) -> Vector:
        """Return a step of the coarser network for the finer one, ``I s``."""
        return self._each(step, self._prolonged, finer=False)

    def _each(
        self, vector: Vector, of: Callable[[Tensor], Tensor], *, finer: bool = True
    ) -> Vector:
        stages = zip(vector[self.common :], self.depths, strict=True)
        counted = ((flat, self.finer(depth) if finer else depth) for flat, depth in stages)
        return [
            *vector[: self.common],
            *(of(flat.view(depth, -1)).reshape(-1) for flat, depth in counted),
        ]

    @staticmethod
    @abstractmethod
    def _restricted(blocks: Tensor) -> Tensor:
        """Return the rows of a stage's gradient, ``(finer, size)``, on the coarser level."""

    @staticmethod
    @abstractmethod
    def _projected(blocks: Tensor) -> Tensor:
        """Return the rows of a stage's parameters on the coarser level."""

    @staticmethod
    @abstractmethod
    def _prolonged(blocks: Tensor) -> Tensor:
        """Return the rows of a stage's step, ``(coarser, size)``, on the finer level."""


class Cells(InTime):
    """Constant in time on cells: two blocks for each coarser one, which is their mean.

    Recalled from the general literature on the authors' residual networks, and not checked against
    a text.
    """

    @staticmethod
    def finer(depth: int) -> int:
        """Return twice the number."""
        return 2 * depth

    @staticmethod
    def _restricted(blocks: Tensor) -> Tensor:
        return blocks[::2] + blocks[1::2]

    @staticmethod
    def _projected(blocks: Tensor) -> Tensor:
        return 0.5 * (blocks[::2] + blocks[1::2])

    @staticmethod
    def _prolonged(blocks: Tensor) -> Tensor:
        return blocks.repeat_interleave(2, 0)


class Nodes(InTime):
    """Linear in time between nodes: ``2 n - 1`` blocks for ``n``; projected by injection.

    As in the authors' code for physics-informed networks.
    """

    refined = "2 n - 1"

    @staticmethod
    def finer(depth: int) -> int:
        """Return the number with one more block between any two."""
        return 2 * depth - 1

    @staticmethod
    def _restricted(blocks: Tensor) -> Tensor:
        found, halves = blocks[::2].clone(), 0.5 * blocks[1::2]
        found[:-1] += halves
        found[1:] += halves
        return found

    @staticmethod
    def _projected(blocks: Tensor) -> Tensor:
        return blocks[::2].clone()

    @staticmethod
    def _prolonged(blocks: Tensor) -> Tensor:
        found = torch.empty(
            2 * len(blocks) - 1, blocks.shape[1], dtype=blocks.dtype, device=blocks.device
        )
        found[::2] = blocks
        found[1::2] = 0.5 * (blocks[:-1] + blocks[1:])
        return found


class WeightedNodes(Nodes):
    """The same, projected by the weights 1/4, 1/2, 1/4 inside, and by injection at the ends.

    Projecting a prolonged step does not give it back.
    """

    exact = False

    @staticmethod
    def _projected(blocks: Tensor) -> Tensor:
        found = blocks[::2].clone()
        inner = blocks[2:-1:2]
        found[1:-1] = 0.5 * inner + 0.25 * (blocks[1:-2:2] + blocks[3::2])
        return found


TRANSFERS: dict[TimeTransfer, type[InTime]] = {
    "cell": Cells,
    "nodal": Nodes,
    "nodal-weighted": WeightedNodes,
}
"""The transfers by name."""
