"""Limited-memory SR1: curvature from the latest steps and changes of the gradient.

The matrix ``B = gamma I + Psi M^-1 Psi^T`` of Byrd, Nocedal and Schnabel (1994), with ``Psi = Y -
gamma S`` and ``M = D + L + L^T - gamma S^T S``, is never formed. Only the pairs are kept, as
vectors over the blocks, and their inner products.
"""

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from napts.optim import vectors
from napts.optim.vectors import Vector

_SKIP = 1e-8
_SHORTEST = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Curvature:
    """The matrix of a model: one eigenvalue for almost all directions, and a few others.

    Attributes:
        base: ``gamma``, the eigenvalue of everything orthogonal to the known eigenvectors.
        values: The other eigenvalues.
        columns: The columns of ``Psi``.
        weights: Matrix ``W``, columns by values: the eigenvectors are ``Psi W``, orthonormal.
    """

    base: float = 1.0
    values: tuple[float, ...] = ()
    columns: tuple[Vector, ...] = ()
    weights: Tensor = field(default_factory=lambda: torch.zeros(0, 0, dtype=torch.float64))

    def components(self, vector: Vector) -> list[float]:
        """Return a vector's components along the known eigenvectors."""
        if not self.values:
            return []
        inner = vectors.to_host([vectors.dot(column, vector) for column in self.columns])
        return (torch.tensor(inner, dtype=torch.float64) @ self.weights).tolist()

    def combine(self, start: Vector, along: list[float]) -> Vector:
        """Return ``start + P along`` with the known eigenvectors ``P``; may change ``start``."""
        if not self.values:
            return start
        weights = (self.weights @ torch.tensor(along, dtype=torch.float64)).tolist()
        for weight, column in zip(weights, self.columns, strict=True):
            for total, part in zip(start, column, strict=True):
                total.add_(part, alpha=weight)
        return start


class LimitedMemorySR1:
    """The latest pairs of steps ``s`` and changes of the gradient ``y``, and their matrix.

    A pair is skipped where the SR1 update is not well defined, ``|s^T r| < 1e-8 ||s|| ||r||`` with
    ``r = y - B s``, where ``s`` or ``y`` is at most 1e-6 long (the rules of the authors' code), or
    where ``r`` is only rounding (ours). ``gamma`` is ``y^T y / s^T y`` of the newest pair (the
    authors' code) if that is positive, and otherwise stays as it was (ours); it starts at 1. Of
    dependent columns of ``Psi`` only the independent part counts.

    Args:
        size: How many pairs are kept; the oldest is dropped first.
    """

    def __init__(self, size: int = 5) -> None:
        self._pairs: deque[tuple[Vector, Vector]] = deque(maxlen=size)
        self._last: tuple[Vector, Vector] | None = None
        self.curvature = Curvature()

    def observe(self, theta: Vector, gradient: Vector) -> None:
        """Take over the next iterate with its gradient; the pair is the change since the last.

        Args:
            theta: The iterate; kept, not copied.
            gradient: Its gradient; likewise.
        """
        before, self._last = self._last, (theta, gradient)
        if before is not None:
            self.add(vectors.subtract(theta, before[0]), vectors.subtract(gradient, before[1]))

    def add(self, step: Vector, change: Vector) -> bool:
        """Add a pair, if it passes the rules.

        Args:
            step: ``s``.
            change: ``y``, the change of the gradient along it.

        Returns:
            Whether it was added.
        """
        length, size = vectors.to_host([vectors.norm(step, "l2"), vectors.norm(change, "l2")])
        if not (_SHORTEST < length < math.inf and _SHORTEST < size < math.inf):
            return False
        # A pair means the same at any length; at length 1 the numbers between pairs compare.
        step, change = vectors.scale(1 / length, step), vectors.scale(1 / length, change)
        size /= length
        missing = vectors.subtract(change, self.product(step))
        inner, distance, slope = vectors.to_host(
            [vectors.dot(step, missing), vectors.norm(missing, "l2"), vectors.dot(step, change)]
        )
        rounding = 10 * torch.finfo(step[0].dtype).eps * size
        if abs(inner) < _SKIP * distance or distance <= rounding:
            return False
        self._pairs.append((step, change))
        base = size**2 / slope if slope > _SKIP * size else self.curvature.base
        self.curvature = curvature(list(self._pairs), base)
        return True

    def product(self, vector: Vector) -> Vector:
        """Return ``B v``."""
        curved = self.curvature
        along = curved.components(vector)
        more = [(value - curved.base) * a for value, a in zip(curved.values, along, strict=True)]
        return curved.combine([curved.base * part for part in vector], more)

    def restricted(self, block: int | None) -> "LimitedMemorySR1":
        """Return a memory of one block, with the parts of the pairs that pass the rules, or of all.

        APTS in weights (arXiv 2312.13677), section 3.1: local histories are synchronised with the
        global one at the start of each preconditioning step.
        """
        own = LimitedMemorySR1(self._pairs.maxlen or 0)
        if block is None:
            own._pairs.extend(self._pairs)
            own.curvature = self.curvature
            return own
        own.curvature = Curvature(base=self.curvature.base)
        for step, change in self._pairs:
            own.add([step[block]], [change[block]])
        return own

    def part(self) -> None:
        """Keep the pairs, but form none from the last iterate: the function has changed."""
        self._last = None

    def clear(self) -> None:
        """Forget everything."""
        self._pairs.clear()
        self._last, self.curvature = None, Curvature()

    def mark(self) -> tuple[Any, ...]:
        """Return what :meth:`rollback` needs; copies no vector."""
        return tuple(self._pairs), self._last, self.curvature

    def rollback(self, mark: tuple[Any, ...]) -> None:
        """Go back to where :meth:`mark` was called."""
        pairs, self._last, self.curvature = mark
        self._pairs.clear()
        self._pairs.extend(pairs)

    def state_dict(self) -> dict[str, Any]:
        """Return what later steps depend on, as tensors and numbers."""
        return {"pairs": list(self._pairs), "last": self._last, "base": self.curvature.base}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a saved state."""
        self._pairs.clear()
        self._pairs.extend(state["pairs"])
        self._last = state["last"]
        self.curvature = (
            curvature(list(self._pairs), state["base"])
            if self._pairs
            else Curvature(base=state["base"])
        )


def curvature(pairs: list[tuple[Vector, Vector]], base: float) -> Curvature:
    """Return the matrix of some pairs, the oldest first, by its eigenvalues.

    Args:
        pairs: Steps and changes of the gradient, the steps of length about 1.
        base: ``gamma``.

    Returns:
        The matrix. Where ``M`` is singular, it is inverted on its range only.
    """
    columns = tuple(vectors.add_scaled(y, -base, s) for s, y in pairs)
    count, accuracy = len(pairs), 10 * len(pairs) * torch.finfo(columns[0][0].dtype).eps
    wanted = [vectors.dot(s, q) for i, (s, _) in enumerate(pairs) for q in columns[: i + 1]]
    wanted += [vectors.dot(p, q) for i, p in enumerate(columns) for q in columns[: i + 1]]
    numbers = torch.tensor(vectors.to_host(wanted), dtype=torch.float64)
    middle, gram = (_symmetric(lower, count) for lower in numbers.chunk(2))
    # Columns of length 1: pairs of very different weight keep their digits.
    scale = gram.diagonal().rsqrt().nan_to_num(posinf=0.0)
    middle, gram = (scale[:, None] * matrix * scale for matrix in (middle, gram))

    squares, directions = _spectrum(gram, accuracy)
    inverse, axes = _spectrum(middle, accuracy)
    if not (len(squares) and len(inverse)):
        return Curvature(base=base)
    lengths = squares.sqrt()
    half = lengths[:, None] * (directions.T @ axes)
    values, rotation = torch.linalg.eigh(half @ torch.diag(1 / inverse) @ half.T)
    weights = scale[:, None] * ((directions / lengths) @ rotation)
    return Curvature(base, tuple((values + base).tolist()), columns, weights)


def _spectrum(matrix: Tensor, accuracy: float) -> tuple[Tensor, Tensor]:
    """Return the eigenvalues that are not zero within that accuracy, with their eigenvectors."""
    values, axes = torch.linalg.eigh(matrix)
    kept = values.abs() > accuracy * values.abs().max()
    return values[kept], axes[:, kept]


def _symmetric(lower: Tensor, count: int) -> Tensor:
    """Return the symmetric matrix whose lower triangle is given row by row."""
    matrix = torch.zeros(count, count, dtype=torch.float64)
    matrix[tuple(torch.tril_indices(count, count))] = lower
    return matrix + matrix.tril(-1).T
