"""SR1 curvature and the trust-region subproblem with full matrices, in plain loops."""

from __future__ import annotations

import math

import numpy as np

Vector = np.ndarray
Matrix = np.ndarray


def sr1_matrix(pairs: list[tuple[Vector, Vector]], gamma: float, n: int) -> Matrix:
    """B after one rank-one update per pair, the oldest first, starting from gamma I."""
    matrix = gamma * np.eye(n)
    for s, y in pairs:
        missing = y - matrix @ s
        if abs(missing @ s) > 1e-12 * np.linalg.norm(missing) * np.linalg.norm(s):
            matrix = matrix + np.outer(missing, missing) / (missing @ s)
    return matrix


class Pairs:
    """The latest pairs of steps and changes of the gradient."""

    def __init__(self, size: int, n: int) -> None:
        self.size, self.n = size, n
        self.pairs: list[tuple[Vector, Vector]] = []
        self.gamma = 1.0
        self.last: tuple[Vector, Vector] | None = None

    @property
    def matrix(self) -> Matrix:
        """B."""
        return sr1_matrix(self.pairs, self.gamma, self.n)

    def observe(self, theta: Vector, gradient: Vector) -> None:
        """The next iterate with its gradient."""
        if self.last is not None:
            self.add(theta - self.last[0], gradient - self.last[1])
        self.last = theta.copy(), gradient.copy()

    def add(self, s: Vector, y: Vector) -> None:
        """Spec 1.5, with its rules for skipping."""
        if np.linalg.norm(s) <= 1e-6 or np.linalg.norm(y) <= 1e-6:
            return
        missing = y - self.matrix @ s
        if abs(s @ missing) < 1e-8 * np.linalg.norm(s) * np.linalg.norm(missing):
            return
        self.pairs = [*self.pairs, (s, y)][-self.size :]
        if s @ y > 1e-8 * np.linalg.norm(s) * np.linalg.norm(y):
            self.gamma = float(y @ y / (s @ y))


def subproblem_step(matrix: Matrix, gradient: Vector, radius: float) -> Vector:
    """A global minimiser of g^T p + p^T B p / 2 over the ball, by bisection for the shift."""
    values, axes = np.linalg.eigh(matrix)
    slopes = axes.T @ gradient
    lowest = values[0]

    def step(shift: float) -> Vector:
        bottom = values + shift
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return np.where(slopes == 0.0, 0.0, -slopes / bottom)

    if lowest > 0 and np.linalg.norm(step(0.0)) <= radius:
        return axes @ step(0.0)
    low = max(0.0, -float(lowest))
    high = low + float(np.linalg.norm(gradient)) / radius
    inside = step(low)
    length = float(np.linalg.norm(inside))
    if length <= radius:
        if lowest < 0:
            inside[0] += math.sqrt(radius**2 - length**2)
        return axes @ inside
    for _ in range(300):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if np.linalg.norm(step(middle)) > radius else (low, middle)
    return axes @ step(high)
