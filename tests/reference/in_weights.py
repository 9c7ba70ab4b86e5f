"""APTS in weights on flat float64 vectors and index sets, written from the algorithm alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.reference.sr1 import Pairs, subproblem_step
from tests.reference.steps import Problem, local_model_step, trust_region_norm

Vector = np.ndarray


@dataclass
class WeightsOptions:
    """Constructor arguments of the method."""

    local_steps: int = 5
    local_budget: float = 1.0
    forced_decrease: bool = False
    forced_as: str = "paper"
    correction: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8, 1.0)
    radius: float = 1e-2
    radius_min: float = 1e-4
    radius_max: float = 1e-1
    shrink: float = 0.5
    grow: float = 2.0
    eta_1: float = 0.25
    eta_2: float = 0.75
    norm: str = "inf"
    direction: str = "scaled_gradient"
    order: int = 1
    pairs: int = 5
    max_tries: int = 1


class Curved:
    """The local model of some coordinates."""

    def __init__(self, options: WeightsOptions, n: int) -> None:
        self.options = options
        self.pairs = Pairs(options.pairs, n)

    def part(self, indices: Vector) -> Curved:
        """The model of fewer coordinates, with their parts of the pairs."""
        own = Curved(self.options, len(indices))
        own.pairs.gamma = self.pairs.gamma
        for s, y in self.pairs.pairs:
            own.pairs.add(s[indices] / np.linalg.norm(s), y[indices] / np.linalg.norm(s))
        return own

    def step(self, gradient: Vector, radius: float) -> tuple[Vector, float]:
        """The model's step and what it promises."""
        if self.options.order == 1:
            step = local_model_step(gradient, radius, self.options.norm, self.options.direction)
            return step, -float(gradient @ step)
        matrix = self.pairs.matrix
        step = subproblem_step(matrix, gradient, radius)
        return step, -float(gradient @ step + 0.5 * step @ matrix @ step)


def local_steps(
    options: WeightsOptions,
    model: Curved,
    value: Callable[[Vector], float],
    slope: Callable[[Vector], Vector],
    start: Vector,
    known: tuple[float, Vector],
    longest: float,
) -> tuple[Vector, float, bool]:
    """A few trust-region steps from a point with known loss and gradient.

    Returns the point and the loss there, and whether the loss was the last thing computed.
    """
    point, radius, (loss, gradient) = start, longest, known
    last = False
    model.pairs.observe(point, gradient)
    for turn in range(options.local_steps):
        left = longest - trust_region_norm(point - start, options.norm)
        radius = min(radius, left)
        step, promised = model.step(gradient, radius)
        trial = point + step
        trial_loss = value(trial)
        good = promised > 1e-12 and math.isfinite(trial_loss)
        ratio = (loss - trial_loss) / promised if good else -math.inf
        last = ratio >= options.eta_1
        if not last:
            radius = options.shrink * radius
            continue
        if ratio > options.eta_2:
            radius = min(longest, options.grow * radius)
        point, loss = trial, trial_loss
        if longest - trust_region_norm(point - start, options.norm) <= 1e-6 * longest:
            break
        if turn + 1 < options.local_steps:
            gradient = slope(point)
            model.pairs.observe(point, gradient)
            last = False
    return point, loss, last


class InWeights:
    """The method on one problem.

    Args:
        problem: The loss.
        sets: The coordinates of each subdomain.
        theta0: Initial iterate.
        options: Settings.
    """

    def __init__(
        self, problem: Problem, sets: list[Vector], theta0: Vector, options: WeightsOptions
    ) -> None:
        self.problem, self.sets, self.options = problem, sets, options
        self.theta = theta0.copy()
        self.radius = options.radius
        self.model = Curved(options, problem.n)
        self.forwards = self.backwards = 0

    def step(self, batch: Any) -> float:
        """One batch; returns the loss before it."""
        self.forwards = self.backwards = 0
        start, loss = self.theta, self._loss(self.theta, batch)
        gradient = self._gradient(start, batch)
        self.model.pairs.observe(start, gradient)
        away = np.zeros_like(start)
        known = False
        for indices in self.sets:
            away[indices], known = self._local(indices, gradient, loss, batch)
        self.forwards -= known and len(self.sets) == 1
        half, half_loss = self._half_way(away, gradient, loss, batch)
        if math.isfinite(half_loss):
            self.theta = half
            gradient = self._gradient(half, batch)
            self.model.pairs.observe(half, gradient)
            self._global(half_loss, gradient, batch)
        else:
            self._global(loss, gradient, batch)
        return loss

    def _local(
        self, indices: Vector, gradient: Vector, loss: float, batch: Any
    ) -> tuple[Vector, bool]:
        options, point = self.options, self.theta.copy()
        longest = options.local_budget * self.radius
        if options.norm == "l2":
            longest /= math.sqrt(len(self.sets))

        def value(own: Vector) -> float:
            point[indices] = own
            return self._loss(point, batch)

        def slope(own: Vector) -> Vector:
            point[indices] = own
            return self._gradient(point, batch)[indices]

        start = self.theta[indices]
        model = self.model.part(indices)
        own, _, known = local_steps(
            options, model, value, slope, start, (loss, gradient[indices]), longest
        )
        return own - start, known

    def _half_way(
        self, away: Vector, gradient: Vector, loss: float, batch: Any
    ) -> tuple[Vector, float]:
        options, radius = self.options, self.radius
        half = self.theta + away
        half_loss = self._loss(half, batch)
        if not options.forced_decrease:
            return half, half_loss
        like = options.forced_as
        long = radius if like == "paper" else trust_region_norm(away, options.norm)
        full = -long * gradient / trust_region_norm(gradient, options.norm)
        if like == "sequential_code":
            full = -full
        floor = options.radius_min if like == "paper" else 0.0
        for weight in options.correction:
            if half_loss <= loss:
                break
            radius = max(floor, options.shrink * radius)
            mixed = weight * full + (1 - weight) * away
            size = trust_region_norm(mixed, "l2" if like == "code_2024" else options.norm)
            half = self.theta + radius * mixed / size
            half_loss = self._loss(half, batch)
        return half, half_loss

    def _global(self, loss: float, gradient: Vector, batch: Any) -> None:
        options = self.options
        for _ in range(options.max_tries):
            step, promised = self.model.step(gradient, self.radius)
            trial_loss = self._loss(self.theta + step, batch)
            good = promised > 1e-12 and math.isfinite(trial_loss)
            ratio = (loss - trial_loss) / promised if good else -math.inf
            if ratio >= options.eta_1:
                self.theta = self.theta + step
                if ratio > options.eta_2:
                    self.radius = min(options.radius_max, options.grow * self.radius)
                return
            before, self.radius = self.radius, max(options.radius_min, options.shrink * self.radius)
            if self.radius == before:
                return

    def _loss(self, theta: Vector, batch: Any) -> float:
        self.forwards += 1
        return float(self.problem.loss(theta, batch))

    def _gradient(self, theta: Vector, batch: Any) -> Vector:
        self.backwards += 1
        return np.asarray(self.problem.gradient(theta, batch), dtype=np.float64)
