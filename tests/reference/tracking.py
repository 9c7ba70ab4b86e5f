"""The tracking trust region on a flat float64 vector, written from its description alone."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.reference.mlp import Batch, MLPProblem, Vector


def spectral_direction(problem: MLPProblem, d: Vector, average: Vector) -> Vector:
    """Return ``d`` with the weights' entries replaced, by their singular value decompositions."""
    d, start = d.copy(), 0
    for rows, columns in problem.shapes:
        part = slice(start, start + rows * columns)
        start += rows * columns + rows
        u, s, vt = np.linalg.svd(average[part].reshape(rows, columns), full_matrices=False)
        if s.any():
            s = s / np.linalg.norm(s)
        for _ in range(5):
            s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
        d[part] = -0.2 * math.sqrt(max(rows, columns)) * ((u * s) @ vt).ravel()
    return d


@dataclass
class Learned:
    """What probed steps promised and what was real of it, as running means."""

    promised: float = 0.0
    real: float = 0.0
    share: float = 0.0

    def move(self, promise: float, ratio: float, slope: float, gain: float, o: Any) -> float:
        """Take in a probe whose slope at its start was this on the next batch; factor on radii."""
        if math.isfinite(slope):
            keep = o["memory"]
            self.promised = keep * self.promised + (1 - keep) * promise
            self.real = keep * self.real + (1 - keep) * slope
            self.share = min(1.0, max(0.0, self.real / self.promised))
        target = min(o["target_max"], max(o["target_min"], o["caution"] * (1 - self.share)))
        return math.exp(gain * min(1.0, max(-1.0, (ratio - target) / o["tolerance"])))


@dataclass
class Tracking:
    """TTR, or STTR, step by step; options are those of the optimizer."""

    problem: MLPProblem
    theta: Vector
    options: dict[str, Any]
    spectral: bool = False
    radius: float = 0.0
    taken: int = 0
    steps: int = 0
    passes: float = 0.0
    average: Vector | None = None
    waiting: dict[str, Any] | None = None
    learned: Learned = field(default_factory=Learned)
    accepted: bool = True
    m: Vector = field(init=False)
    v: Vector = field(init=False)

    def __post_init__(self) -> None:
        self.radius = self.options["radius"]
        self.m, self.v = np.zeros_like(self.theta), np.zeros_like(self.theta)

    def step(self, batch: Batch) -> float:
        o = self.options
        loss = self.problem.loss(self.theta, batch)
        gradient = self.problem.gradient(self.theta, batch)
        self.passes += 3
        if self.waiting is not None:
            self._learn(batch, loss, gradient)
        self.steps += 1
        b1, b2 = o["betas"]
        self.m = b1 * self.m + (1 - b1) * gradient
        self.v = b2 * self.v + (1 - b2) * gradient**2
        m, v = self.m / (1 - b1**self.steps), self.v / (1 - b2**self.steps)
        d = -m / (np.sqrt(v) + o["eps"])
        if self.spectral:
            d = spectral_direction(self.problem, d, self.m)
        promise = -self.radius * float(gradient @ d)
        end = self.theta + self.radius * d
        probed = self.steps <= o["first_probes"] or self.steps % o["probe_every"] == 0
        self.accepted = True
        if probed:
            self.passes += 1
            after = self.problem.loss(end, batch)
        if probed and promise > 0:
            ratio = (loss - after) / promise
            if ratio < o["reject_below"]:
                self.accepted = False
                self.radius = max(o["radius_min"], o["shrink"] * self.radius)
                return loss
            early = self.steps <= o["first_probes"]
            self.waiting = {
                **{"start": self.theta, "d": d, "length": self.radius, "promise": promise},
                **{"ratio": ratio, "gain": o["first_gain"] if early else o["gain"]},
            }
        self.theta = end
        self.taken += 1
        weight = (1 + o["average"]) / (self.taken + o["average"])
        if self.average is None:
            self.average = end.copy()
        self.average = (1 - weight) * self.average + weight * end
        return loss

    def _learn(self, batch: Batch, loss: float, gradient: Vector) -> None:
        o, w = self.options, self.waiting
        assert w is not None
        self.waiting = None
        self.passes += 1
        before = self.problem.loss(w["start"], batch)
        end_slope = -w["length"] * float(gradient @ w["d"])
        start_slope = 2 * (before - loss) - end_slope
        factor = self.learned.move(w["promise"], w["ratio"], start_slope, w["gain"], o)
        self.radius = min(o["radius_max"], max(o["radius_min"], factor * self.radius))
