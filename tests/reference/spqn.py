"""ASPQN and MSPQN on flat float64 vectors with dense matrices and torch's own line search.

Written from the formulas, as a second opinion: nothing of the package is imported. A function takes
a vector and returns value and gradient.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch.optim.lbfgs import _strong_wolfe

Vector = NDArray[np.float64]
Function = Callable[[Vector], tuple[float, Vector]]


def dense_inverse(pairs: Sequence[tuple[Vector, Vector]], size: int) -> Vector:
    """The BFGS product form, from the initial scaling of the newest pair."""
    identity = np.eye(size)
    if not pairs:
        return identity
    s, y = pairs[-1]
    inverse = (s @ y) / (y @ y) * identity
    for s, y in pairs:
        left = identity - np.outer(s, y) / (y @ s)
        inverse = left @ inverse @ left.T + np.outer(s, s) / (y @ s)
    return inverse


def compact_hessian(pairs: Sequence[tuple[Vector, Vector]]) -> Vector:
    """The slides' compact form of the Hessian approximation itself."""
    S, Y = (np.stack([pair[i] for pair in pairs], axis=1) for i in (0, 1))
    s, y = pairs[-1]
    initial = (y @ y) / (y @ s) * np.eye(len(s))
    inner = S.T @ Y
    lower, diagonal = np.tril(inner, -1), np.diag(np.diag(inner))
    middle = np.block([[S.T @ initial @ S, lower], [lower.T, -diagonal]])
    wide = np.hstack([initial @ S, Y])
    return initial - wide @ np.linalg.solve(middle, wide.T)


def wolfe(f: Function, x: Vector, d: Vector, loss: float, g: Vector, t: float) -> float:
    """The length that torch's own search finds."""

    def along(_x, t, _d):
        loss, gradient = f(x + float(t) * d)
        return loss, torch.from_numpy(gradient)

    slope = torch.tensor(float(g @ d), dtype=torch.float64)
    arguments = (torch.from_numpy(x), t, torch.from_numpy(d), loss, torch.from_numpy(g), slope)
    return float(_strong_wolfe(along, *arguments)[2])


def first_length(g: Vector) -> float:
    return min(1.0, 1.0 / np.abs(g).sum())


def lbfgs(f: Function, x: Vector, steps: int, memory: int) -> Vector:
    """A few L-BFGS steps from no memory, for the local phase."""
    pairs: list[tuple[Vector, Vector]] = []
    loss, g = f(x)
    for _ in range(steps):
        d = -dense_inverse(pairs, len(x)) @ g
        t = wolfe(f, x, d, loss, g, 1.0 if pairs else first_length(g))
        new_loss, new_g = f(x + t * d)
        pairs = [*pairs, (t * d, new_g - g)][-memory:]
        x, loss, g = x + t * d, new_loss, new_g
    return x


@dataclass
class Reference:
    """One of the methods; `kind` is "additive", "multiplicative" or "none"."""

    f: Function
    sets: Sequence[NDArray[np.int64]]
    kind: str
    local_steps: int = 10
    memory: int = 3
    momentum: float = 0.9
    first: bool = True
    pairs: list[tuple[Vector, Vector]] = field(default_factory=list)
    velocity: Vector | None = None

    def local(self, theta: Vector, own: NDArray[np.int64]) -> Vector:
        """Minimise over one set, the others where they are in theta."""

        def restricted(part: Vector) -> tuple[float, Vector]:
            whole = theta.copy()
            whole[own] = part
            loss, gradient = self.f(whole)
            return loss, gradient[own]

        result = theta.copy()
        result[own] = lbfgs(restricted, theta[own], self.local_steps, self.memory)
        return result

    def preconditioned(self, theta: Vector) -> Vector:
        if self.kind == "multiplicative":
            for own in self.sets:
                theta = self.local(theta, own)
            return theta
        d = sum(self.local(theta, own) - theta for own in self.sets)
        loss, g = self.f(theta)
        assert isinstance(d, np.ndarray)
        return theta + wolfe(self.f, theta, d, loss, g, 1.0) * d

    def step(self, theta: Vector) -> Vector:
        if not self.first and self.kind != "none":
            theta = self.preconditioned(theta)
        self.first = False
        loss, g = self.f(theta)
        p = -dense_inverse(self.pairs, len(theta)) @ g
        mu = self.momentum
        self.velocity = mu * p if self.velocity is None else (1 - mu) * self.velocity + mu * p
        v = self.velocity
        t = wolfe(self.f, theta, v, loss, g, 1.0 if self.pairs else first_length(g))
        new = theta + t * v
        self.pairs = [*self.pairs, (t * v, self.f(new)[1] - g)][-self.memory :]
        return new
