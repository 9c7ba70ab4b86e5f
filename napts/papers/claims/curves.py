"""Statements about the course of training and about how much seeds differ."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from napts.analysis.columns import Floats, floats, split
from napts.analysis.outcome import ENDED, ENDED_BADLY, outcome
from napts.analysis.statistics import CONFIDENCE, summarise
from napts.analysis.target import Arrival, ratio_of_medians
from napts.papers.claims.evidence import BySeed, Evidence, MissingError, Who
from napts.papers.claims.paired import difference, ratio, some_ended_well
from napts.papers.claims.rules import NAMES
from napts.papers.claims.verdict import Estimate, Region


@dataclass(frozen=True)
class Rougher:
    """Variance of the train loss's increments from epoch to epoch, compared with another method.

    It is the ratio of the means over seeds. A loss that falls fast has a large variance even if it
    falls smoothly, so this number should be reported beside `Rises`.
    """

    of: Who
    to: Who
    region: Region | None

    def what(self) -> str:
        """Return the number in words."""
        return f"variance of the train loss's increments, {self.of} / {self.to}"

    def estimate(self, evidence: Evidence) -> Estimate:
        """Estimate it."""
        numbers = _of_increments(evidence, self.of, self.to, np.var)
        bad = evidence.ended_badly(self.of, self.to)
        return ratio(*numbers, bad, f"increments of the train loss of {self.to} with a variance")


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
        rises = _of_increments(evidence, self.of, self.to, lambda steps: steps.clip(min=0.0).sum())
        return difference(*rises, evidence.ended_badly(self.of, self.to))


def _of_increments(
    evidence: Evidence, of: Who, to: Who, number: Callable[[Floats], Any]
) -> tuple[BySeed, BySeed]:
    """Return a number computed from the increments over common epochs, as outcomes by seed."""
    shared = min(evidence.epochs_of(who) for who in (of, to))
    found: list[BySeed] = []
    for who in (of, to):
        by_seed = dict.fromkeys(evidence.states(who), nan)
        for run in split(evidence.rows(who), "seed"):
            losses, epoch = floats(run, "train_loss"), floats(run, "epoch")
            losses = losses[(epoch > 0) & (epoch <= shared)]
            whole = len(losses) == shared > 1  # one epoch has no increment
            by_seed[int(run["seed"].iloc[0])] = float(number(np.diff(losses))) if whole else nan
        metric = evidence.section.metric
        states = evidence.states(who).items()
        found.append({s: outcome(by_seed[s], state, "train_loss", metric) for s, state in states})
    return found[0], found[1]


@dataclass(frozen=True)
class Sooner:
    """Epochs until a method meets the loss, or accuracy, that another one ends with.

    This is done seed by seed, so that the other method always gets there if it ends well. It is the
    ratio of the medians, in which a run that never gets there is later than all others; the
    interval is that of the ratios seed by seed, see `ratio_of_medians`. A run that did not get
    there within its budget would have needed one more epoch or any number of them; so would one
    that diverged, since it says nothing how early that happened. If the other method ended badly,
    this one got there by its end.
    """

    of: Who
    to: Who
    region: Region | None
    quantity: str = "train_loss"

    def what(self) -> str:
        """Return the number in words."""
        return f"epochs to the last {NAMES[self.quantity]} of {self.to}, {self.of} / {self.to}"

    def estimate(self, evidence: Evidence) -> Estimate:
        """Estimate it."""
        some_ended_well(evidence, self.of, self.to)
        bad = evidence.ended_badly(self.of, self.to)
        targets = evidence.at_epoch(self.to, self.quantity, evidence.epochs_of(self.to))
        of, to = (self._arrivals(evidence, who, targets) for who in (self.of, self.to))
        seeds = sorted(set(of) & set(to))
        found = ratio_of_medians([of[seed] for seed in seeds], [to[seed] for seed in seeds])
        missing = len(set(evidence.states(self.of)) | set(targets)) - len(seeds)
        return Estimate(
            found.value, found.low, found.high, found.n, missing, len(bad.intersection(seeds))
        )

    def _arrivals(self, evidence: Evidence, who: Who, targets: BySeed) -> dict[int, Arrival]:
        """Return by seed when a run met its target, if there is one."""
        planned, states = evidence.epochs_of(who), evidence.states(who)
        runs = {int(run["seed"].iloc[0]): run for run in split(evidence.rows(who), "seed")}
        others = evidence.ended_badly(self.to)
        found = {}
        for seed, state in states.items():
            target = targets.get(seed, math.nan)
            if math.isnan(target) or (seed in others and state not in ENDED):
                continue
            if state in ENDED_BADLY:
                found[seed] = Arrival(float(planned + 1), reached=False)
            elif seed in others:
                found[seed] = Arrival(float(planned), reached=True)
            elif seed in runs:
                found[seed] = self._arrival(runs[seed], target, open_=state not in ENDED)
        return found

    def _arrival(self, run: pd.DataFrame, target: float, *, open_: bool) -> Arrival:
        epochs, values = floats(run, "epoch"), floats(run, self.quantity)
        there = values <= target if self.quantity.endswith("loss") else values >= target
        met = epochs[there & (epochs > 0)]
        if len(met):
            return Arrival(float(met.min()), reached=True)
        return Arrival(float(epochs.max() + 1), reached=False, open=open_)


@dataclass(frozen=True)
class Scatter:
    """How much the final values of runs differ from seed to seed, compared with another method.

    It is the ratio of the standard deviations. Its interval comes from the F distribution, which
    assumes normal values and independent methods: with three seeds it spans a factor of six to
    either side. It is not tested if a run ended badly: no number says how far that run is from the
    others, and without it the method's runs would seem to differ less than they do.
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
        if evidence.ended_badly(self.of, self.to):
            raise MissingError(f"runs of {self.of} and {self.to} of which none ended badly")
        ends, missing = [], 0
        for who in (self.of, self.to):
            values = evidence.at_epoch(who, self.quantity, evidence.epochs_of(who)).values()
            ends.append([value for value in values if not math.isnan(value)])
            missing += len(values) - len(ends[-1])
        n = min(len(values) for values in ends)
        if n < 2:
            return Estimate(nan, nan, nan, n, missing)
        above, below = (float(np.std(values, ddof=1)) for values in ends)
        quotient = above / below if below else math.inf if above else 1.0
        freedom = [len(values) - 1 for values in ends]
        low, high = (quotient / math.sqrt(f) for f in stats.f.interval(CONFIDENCE, *freedom))
        return Estimate(quotient, high, low, n, missing)


@dataclass(frozen=True)
class Overtakes:
    """Epoch from which a method's train loss stays below another one's, seed by seed.

    It is infinite if the loss ends above the other's with some seed, or ends badly; a run that
    ended badly has an infinite loss from its end on. If it is infinite with some seeds, the
    interval begins at the first epoch that was found, and says no more.
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
        of, to = (_losses(evidence, who, end) for who in (self.of, self.to))
        crossings = {s: _crossing(of.get(s), to.get(s)) for s in sorted(set(of) | set(to))}
        found = summarise(list(crossings.values()))
        bad = len({s for s in evidence.ended_badly(self.of, self.to) if crossings[s] > 0})
        low, high = found.low, found.high
        if math.isinf(found.mean):
            low, high = found.minimum, math.inf
        return Estimate(found.mean, low, high, found.n, found.missing, bad)


def _losses(evidence: Evidence, who: Who, end: int) -> dict[int, Floats]:
    """Return by seed the train loss of epochs 1 to ``end``, without runs that are not there yet."""
    rows = {int(run["seed"].iloc[0]): run for run in split(evidence.rows(who), "seed")}
    found = {}
    for seed, state in evidence.states(who).items():
        losses = np.full(end, math.inf if state in ENDED_BADLY else nan)
        if seed in rows:
            epoch, values = (
                floats(rows[seed], "epoch").astype(int),
                floats(rows[seed], "train_loss"),
            )
            known = (epoch >= 1) & (epoch <= end) & ~np.isnan(values)
            losses[epoch[known] - 1] = values[known]
        if state in ENDED_BADLY:
            losses[-1] = math.inf
        if not np.isnan(losses).any():
            found[seed] = losses
    return found


def _crossing(of: Floats | None, to: Floats | None) -> float:
    if of is None or to is None:
        return nan
    above = np.flatnonzero((of >= to) | np.isinf(of))
    last = int(above.max()) + 1 if len(above) else 0
    return math.inf if last == len(of) else float(last + 1)
