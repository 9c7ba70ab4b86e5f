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
    shared_radius: bool = True
    moments: str = "reset"
    shares: str = "equal"
    local_fraction: float = 1.0
    retry: str = "mixture"
    global_step: str = "always"
    order: int = 1
    pairs: int = 5
    radius_rule: str = "ratio"
    caution: float = 1.3
    probe_every: int = 12

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


@dataclass
class Averages:
    """Adam's two running averages over all coordinates, and how many gradients are in them."""

    first: Vector
    second: Vector
    count: int = 0

    @classmethod
    def none(cls, n: int) -> Averages:
        """The averages of no gradient."""
        return cls(np.zeros(n), np.zeros(n))

    def take(self, slope: Vector, betas: tuple[float, float]) -> Averages:
        """The averages with one more gradient."""
        return Averages(
            betas[0] * self.first + (1.0 - betas[0]) * slope,
            betas[1] * self.second + (1.0 - betas[1]) * slope * slope,
            self.count + 1,
        )

    def part(self, block: slice) -> Averages:
        """Those of one subdomain."""
        return Averages(self.first[block], self.second[block], self.count)

    def direction(self, options: Options) -> Vector:
        """Adam's direction, free of bias."""
        mean = self.first / (1.0 - options.betas[0] ** self.count)
        spread = self.second / (1.0 - options.betas[1] ** self.count)
        return -mean / (np.sqrt(spread) + options.eps)


def schwarz_proposal(
    problem: Problem,
    theta: Vector,
    gradient: Vector,
    radius: float,
    options: Options,
    batch: Any,
    before: Averages | None = None,
) -> Vector:
    """Lines 6-9: capped Adam steps in every subdomain, assembled into one step (eqs. 2-4)."""
    if before is None:
        before = Averages.none(problem.n)
    start = before.take(gradient, options.betas)
    whole = trust_region_norm(start.direction(options), options.norm)
    step = np.zeros(problem.n)
    for d, block in enumerate(problem.blocks):
        local, averages = theta[block].copy(), start.part(block)
        longest = _longest(averages.direction(options), whole, radius, len(problem.blocks), options)
        for t in range(options.local_steps):
            if t > 0:
                slope = _local_slope(problem, d, local, theta, batch, t - 1, options)
                averages = averages.take(slope, options.betas)
            local = local + _capped(averages.direction(options), longest, options)
        step[block] = local - theta[block]
    return step


def _local_slope(
    problem: Problem,
    d: int,
    local: Vector,
    theta: Vector,
    batch: Any,
    turn: int,
    options: Options,
) -> Vector:
    """Eq. (2) on all samples, or on the next few of them, whose mean loss stands for the whole."""
    if options.last_block_exact and d == len(problem.blocks) - 1:
        return problem.last_block_gradient(local, theta, batch)
    if options.local_fraction == 1.0:
        return problem.local_gradient(d, local, theta, batch)
    size = len(batch[0])
    few = max(1, round(options.local_fraction * size))
    # As many parts as fit one after the other; if only one does, on around the batch.
    at = few * (turn % (size // few)) if size // few > 1 else few * turn
    samples = [(at + i) % size for i in range(few)]
    return problem.local_gradient(d, local, theta, tuple(part[samples] for part in batch))


def _longest(
    direction: Vector, whole: float, radius: float, subdomains: int, options: Options
) -> float:
    """How long one local step of a subdomain may be."""
    share = radius / options.local_steps
    if options.shares == "joint":
        # As long as in the step that all subdomains together would take within the region.
        return share * trust_region_norm(direction, options.norm) / whole if whole > 0 else 0.0
    # Only the 2-norm of the assembled step grows with the number of subdomains.
    return share / math.sqrt(subdomains) if options.norm == "l2" else share


def _capped(update: Vector, longest: float, options: Options) -> Vector:
    """Eq. (3): one local step within its share of the trust region."""
    if options.cap == "clip":
        bound = longest if options.norm == "inf" else longest / math.sqrt(update.size)
        return np.clip(update, -bound, bound)
    length = trust_region_norm(update, options.norm)
    return update * (longest / length) if length > longest else update
