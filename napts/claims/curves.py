"""Statements about the course of training and about how much seeds differ."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np
from scipy import stats

from napts.analysis.columns import Floats, floats, split
from napts.analysis.statistics import paired_ratio, summarise
from napts.claims.evidence import BySeed, Evidence, Who
from napts.claims.rules import NAMES, difference
from napts.claims.verdict import Estimate, Region

_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Rougher:
    """Variance of the train loss's increments from epoch to epoch, against another method.

    The ratio of the means over seeds. A loss that falls fast has a large one even if it falls
    smoothly: a number to be told beside `Rises`.
    """

    of: Who
    to: Who
    region: Region | None

    def what(self) -> str:
        """Return the number in words."""
        return f"variance of the train loss's increments, {self.of} / {self.to}"

    def estimate(self, evidence: Evidence) -> Estimate:
        """Estimate it."""
        of, to = _of_increments(evidence, self.of, self.to, np.var)
        ratio = paired_ratio(of, to)
        missing = len(set(of) | set(to)) - ratio.n
        return Estimate(ratio.value, ratio.low, ratio.high, ratio.n, missing)


@dataclass(frozen=True)
class Rises:
    """Sum of the train loss's increases from epoch to epoch, less that of another method.

    0 for a loss that only falls, however fast. Paired by seed.
    """

    of: Who
    to: Who
    region: Region | None

    def what(self) -> str:
        """Return the number in words."""
        return f"sum of the train loss's increases, {self.of} - {self.to}"

    def estimate(self, evidence: Evidence) -> Estimate:
        """Estimate it."""
        return difference(
            *_of_increments(evidence, self.of, self.to, lambda steps: steps.clip(min=0.0).sum())
        )


def _of_increments(
    evidence: Evidence, of: Who, to: Who, number: Callable[[Floats], Any]
) -> tuple[BySeed, BySeed]:
    """Return a number of the increments over the epochs that both have; NaN for shorter runs."""
    shared = min(evidence.epochs_of(who) for who in (of, to))
    found: list[BySeed] = []
    for who in (of, to):
        by_seed = {}
        for run in split(evidence.rows(who), "seed"):
            losses, epoch = floats(run, "train_loss"), floats(run, "epoch")
            losses = losses[(epoch > 0) & (epoch <= shared)]
            whole = len(losses) == shared > 1  # one epoch has no increment
            by_seed[int(run["seed"].iloc[0])] = float(number(np.diff(losses))) if whole else nan
        found.append(by_seed)
    return found[0], found[1]


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
        ends, missing = [], 0
        for who in (self.of, self.to):
            values = evidence.at_epoch(who, self.quantity, evidence.epochs_of(who)).values()
            ends.append([value for value in values if not math.isnan(value)])
            missing += len(values) - len(ends[-1])
        n = min(len(values) for values in ends)
        if n < 2 or missing:
            # Runs that diverged would scatter most, and would not be seen.
            return Estimate(nan, nan, nan, n, missing)
        above, below = (float(np.std(values, ddof=1)) for values in ends)
        ratio = above / below if below else math.inf
        freedom = [len(values) - 1 for values in ends]
        low, high = stats.f.interval(_CONFIDENCE, *freedom)
        return Estimate(ratio, ratio / math.sqrt(high), ratio / math.sqrt(low), n)


@dataclass(frozen=True)
class Overtakes:
    """Epoch from which on a method's train loss stays below another one's, seed by seed.

    Infinite if it ends above it with some seed; of runs that did not end nothing is known.
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
    if any(math.isnan(curve[epoch][seed]) for curve in (of, to) for epoch in of):
        return nan
    above = [epoch for epoch in of if of[epoch][seed] >= to[epoch][seed]]
    last = max(above, default=0)
    return math.inf if last == max(of) else float(last + 1)
