"""APTS in data on flat float64 vectors, written from the algorithm alone."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.reference.in_weights import Curved, WeightsOptions, local_steps
from tests.reference.steps import Problem

Vector = np.ndarray


@dataclass
class DataOptions(WeightsOptions):
    """Constructor arguments of the method."""

    shards: int = 2
    consistent: bool = True
    radius: float = 0.1
    radius_min: float = 1e-3
    radius_max: float = 2.0
    norm: str = "l2"


class InData:
    """The method on one problem, whose batches are cut into parts of almost equal size."""

    def __init__(self, problem: Problem, theta0: Vector, options: DataOptions) -> None:
        self.problem, self.options = problem, options
        self.theta = theta0.copy()
        self.radius = options.radius
        self.model = Curved(options, problem.n)
        self.samples = {"loss": 0, "gradient": 0}
        self.promised = self.ratio = math.nan

    def step(self, batch: Any) -> float:
        """One batch; returns the loss before it."""
        options, total = self.options, len(batch[0])
        self.samples = {"loss": 0, "gradient": 0}
        loss, gradient = self._loss(self.theta, batch), self._gradient(self.theta, batch)
        self.model.pairs.observe(self.theta, gradient)
        cuts = [p * total // options.shards for p in range(options.shards + 1)]
        steps, gains = [], []
        for first, last in itertools.pairwise(cuts):
            step, gain = self._local(gradient, (batch[0][first:last], batch[1][first:last]))
            steps.append(step)
            gains.append(gain)
        many = 1 if options.norm == "l2" else options.shards
        step, self.promised = sum(steps) / many, sum(gains) / many
        trial_loss = self._loss(self.theta + step, batch)
        good = self.promised > 1e-12 and math.isfinite(trial_loss)
        self.ratio = (loss - trial_loss) / self.promised if good else -math.inf
        if self.ratio >= options.eta_1:
            self.theta = self.theta + step
        self._update(self.ratio)
        here = loss
        if self.ratio >= options.eta_1:
            here, gradient = trial_loss, self._gradient(self.theta, batch)
            self.model.pairs.observe(self.theta, gradient)
        self._global(here, gradient, batch)
        return loss

    def _local(self, gradient: Vector, part: Any) -> tuple[Vector, float]:
        options = self.options
        # Known from the whole batch, whose loss and gradient are means over the parts.
        own = np.asarray(self.problem.gradient(self.theta, part), dtype=np.float64)
        tilt = gradient - own if options.consistent else np.zeros_like(own)
        longest = self.radius / options.shards if options.norm == "l2" else self.radius
        start = float(self.problem.loss(self.theta, part))

        def value(theta: Vector) -> float:
            return self._loss(theta, part) + float(tilt @ (theta - self.theta))

        def slope(theta: Vector) -> Vector:
            return self._gradient(theta, part) + tilt

        model = self.model.part(np.arange(self.problem.n))
        point, loss, _ = local_steps(
            options, model, value, slope, self.theta, (start, own + tilt), longest
        )
        return point - self.theta, start - loss

    def _global(self, loss: float, gradient: Vector, batch: Any) -> None:
        for _ in range(self.options.max_tries):
            step, promised = self.model.step(gradient, self.radius)
            trial_loss = self._loss(self.theta + step, batch)
            good = promised > 1e-12 and math.isfinite(trial_loss)
            ratio = (loss - trial_loss) / promised if good else -math.inf
            if ratio >= self.options.eta_1:
                self.theta = self.theta + step
            before = self.radius
            self._update(ratio)
            if ratio >= self.options.eta_1 or self.radius == before:
                return

    def _update(self, ratio: float) -> None:
        options = self.options
        if ratio < options.eta_1:
            self.radius = max(options.radius_min, options.shrink * self.radius)
        elif ratio > options.eta_2:
            self.radius = min(options.radius_max, options.grow * self.radius)

    def _loss(self, theta: Vector, batch: Any) -> float:
        self.samples["loss"] += len(batch[0])
        return float(self.problem.loss(theta, batch))

    def _gradient(self, theta: Vector, batch: Any) -> Vector:
        self.samples["gradient"] += len(batch[0])
        return np.asarray(self.problem.gradient(theta, batch), dtype=np.float64)
