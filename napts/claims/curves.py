"""Statements about the course of training and about how much seeds differ."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from napts.analysis.columns import floats, split
from napts.analysis.statistics import paired_ratio, summarise
from napts.claims.evidence import BySeed, Evidence, Who
from napts.claims.rules import NAMES
from napts.claims.verdict import Estimate, Region

_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Rougher:
    """How much the train loss jumps from epoch to epoch, against another method.

    The ratio of the variances of the increments over all epochs that both have, means over seeds,
    paired by seed.
    """

    of: Who
    to: Who
    region: Region | None

    def what(self) -> str:
        """Return the number in words."""
        return f"variance of the train loss's increments, {self.of} / {self.to}"

    def estimate(self, evidence: Evidence) -> Estimate:
        """Estimate it."""
        shared = min(evidence.epochs_of(who) for who in (self.of, self.to))
        of, to = (_roughness(evidence, who, shared) for who in (self.of, self.to))
        ratio = paired_ratio(of, to)
        return Estimate(ratio.value, ratio.low, ratio.high, ratio.n)


def _roughness(evidence: Evidence, who: Who, epochs: int) -> BySeed:
    found = {}
    for run in split(evidence.rows(who), "seed"):
        losses, epoch = floats(run, "train_loss"), floats(run, "epoch")
        losses = losses[(epoch > 0) & (epoch <= epochs)]
        found[int(run["seed"].iloc[0])] = float(np.var(np.diff(losses)))
    return found


@dataclass(frozen=True)
class Scatter:
    """How much the ends of runs differ from seed to seed, against another method.

    The ratio of the standard deviations. Its interval is that of the F distribution, which takes
    the values for normal and the methods for independent: with three seeds it spans a factor of
    six to either side.
    """

    quantity: str
    of: Who
    to: Who
    region: Region | None

    def what(self) -> str:
        """Return the number in words."""
        return f"standard deviation of the {NAMES[self.quantity]} over seeds, {self.of} / {self.to}"

    def estimate(self, evidence: Evidence) -> Estimate:
        """Estimate it."""
        ends = [self._at_the_end(evidence, who) for who in (self.of, self.to)]
        n = min(len(values) for values in ends)
        if n < 2:
            return Estimate(math.nan, math.nan, math.nan, n)
        above, below = (float(np.std(values, ddof=1)) for values in ends)
        ratio = above / below if below else math.inf
        freedom = [len(values) - 1 for values in ends]
        low, high = stats.f.interval(_CONFIDENCE, *freedom)
        return Estimate(ratio, ratio / math.sqrt(high), ratio / math.sqrt(low), n)

    def _at_the_end(self, evidence: Evidence, who: Who) -> list[float]:
        values = evidence.at_epoch(who, self.quantity, evidence.epochs_of(who)).values()
        return [value for value in values if not math.isnan(value)]


@dataclass(frozen=True)
class Overtakes:
    """Epoch from which on a method's train loss stays below another one's, seed by seed.

    Infinite if it ends above it with some seed.
    """

    of: Who
    to: Who
    region: Region | None

    def what(self) -> str:
        """Return the number in words."""
        return f"epoch from which the train loss of {self.of} stays below that of {self.to}"

    def estimate(self, evidence: Evidence) -> Estimate:
        """Estimate it."""
        end = min(evidence.epochs_of(who) for who in (self.of, self.to))
        curves = [
            {e: evidence.at_epoch(who, "train_loss", e) for e in range(1, end + 1)}
            for who in (self.of, self.to)
        ]
        seeds = sorted(set(curves[0][end]) & set(curves[1][end]))
        found = summarise([_crossing(curves[0], curves[1], seed) for seed in seeds])
        if math.isinf(found.mean):
            return Estimate(math.inf, found.minimum, math.inf, found.n, found.missing)
        return Estimate(found.mean, found.low, found.high, found.n, found.missing)


def _crossing(of: dict[int, BySeed], to: dict[int, BySeed], seed: int) -> float:
    above = [epoch for epoch in of if not of[epoch][seed] < to[epoch][seed]]
    last = max(above, default=0)
    return math.inf if last == max(of) else float(last + 1)
