"""Settings, the problem's interface, and the steps that the flat-vector reference tries."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from tests.reference.history import Vector


@dataclass
class Options:
    """The optimizers' constructor arguments; a radius of None takes the default of the norm."""

    radius: float | None = None
    radius_min: float | None = None
    radius_max: float | None = None
    shrink: float = 0.5
    grow: float = 2.0
    eta_1: float = 0.25
    eta_2: float = 0.75
    norm: str = "l2"
    direction: str = "scaled_gradient"
    max_tries: int = 5
    window: int = 5
    history: str = "windowed"
    history_scope: str = "rolling"
    local_steps: int = 5
    cap: str = "scale"
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    last_block_exact: bool = False
    correction: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8, 1.0)
    shared_history: bool = True

    def radii(self) -> tuple[float, float, float]:
        """Initial, smallest and largest radius."""
        defaults = (1e-2, 1e-4, 1e-1) if self.norm == "inf" else (0.1, 1e-3, 2.0)
        given = (self.radius, self.radius_min, self.radius_max)
        initial, smallest, largest = (
            default if value is None else value
            for value, default in zip(given, defaults, strict=True)
        )
        return initial, smallest, largest


class Problem(Protocol):
    """A loss over a flat vector whose coordinates are split into contiguous subdomains."""

    n: int
    blocks: list[slice]

    def loss(self, theta: Vector, batch: Any) -> float:
        """f_B(theta)."""
        ...

    def gradient(self, theta: Vector, batch: Any) -> Vector:
        """Gradient of f_B at theta, shape (n,)."""
        ...

    def local_gradient(self, d: int, theta_d: Vector, theta_k: Vector, batch: Any) -> Vector:
        """Eq. (2) for block d, boundary data frozen at theta_k."""
        ...

    def last_block_gradient(self, theta_last: Vector, theta_k: Vector, batch: Any) -> Vector:
        """Exact gradient for the last block, the others frozen at theta_k."""
        ...


def trust_region_norm(vector: Vector, norm: str) -> float:
    """||vector|| in the trust-region norm, "l2" or "inf"."""
    if norm == "inf":
        return float(np.max(np.abs(vector)))
    return math.sqrt(float(np.sum(vector * vector)))


def local_model_step(gradient: Vector, radius: float, norm: str, direction: str) -> Vector:
    """Step of the first-order model inside the trust region (spec 1.3)."""
    vector = np.sign(gradient) if direction == "sign" else gradient
    length = trust_region_norm(vector, "l2" if direction == "l2" else norm)
    if length == 0.0:
        return np.zeros_like(gradient)
    return -radius * vector / length


def schwarz_proposal(
    problem: Problem, theta: Vector, gradient: Vector, radius: float, options: Options, batch: Any
) -> Vector:
    """Lines 6-9: capped Adam steps in every subdomain, assembled into one step (eqs. 2-4)."""
    step = np.zeros(problem.n)
    for d, block in enumerate(problem.blocks):
        local = theta[block].copy()
        first = np.zeros(local.size)
        second = np.zeros(local.size)
        for t in range(1, options.local_steps + 1):
            if t == 1:
                slope = gradient[block]
            elif options.last_block_exact and d == len(problem.blocks) - 1:
                slope = problem.last_block_gradient(local, theta, batch)
            else:
                slope = problem.local_gradient(d, local, theta, batch)
            first = options.betas[0] * first + (1.0 - options.betas[0]) * slope
            second = options.betas[1] * second + (1.0 - options.betas[1]) * slope * slope
            mean = first / (1.0 - options.betas[0] ** t)
            spread = second / (1.0 - options.betas[1] ** t)
            update = -mean / (np.sqrt(spread) + options.eps)
            local = local + _capped(update, radius, len(problem.blocks), options)
        step[block] = local - theta[block]
    return step


def _capped(update: Vector, radius: float, subdomains: int, options: Options) -> Vector:
    """Eq. (3): one local step within its share of the trust region."""
    share = radius / options.local_steps
    if options.norm == "l2":
        # Only the 2-norm of the assembled step grows with the number of subdomains.
        share /= math.sqrt(subdomains)
    if options.cap == "clip":
        bound = share if options.norm == "inf" else share / math.sqrt(update.size)
        return np.clip(update, -bound, bound)
    length = trust_region_norm(update, options.norm)
    return update * (share / length) if length > share else update
