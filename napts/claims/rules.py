"""The kinds of statements that claims make, and how each is examined."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from napts.analysis.columns import floats, split
from napts.analysis.statistics import paired_difference, paired_ratio, summarise
from napts.analysis.target import ratio_of_medians
from napts.claims.evidence import BySeed, Evidence, MissingError, Who
from napts.claims.verdict import Estimate, Region, Verdict

LEAST_SEEDS = 3
"""With fewer seeds nothing is judged: no interval could be given."""

When = Literal["run", "shared", "end"]
"""A column of the runs frame; of the epochs frame at the last epoch that both have; or at the last
epoch of each."""

NAMES = {
    "cpu_seconds_per_epoch": "CPU time per epoch",
    "cpu_seconds_per_pass": "CPU time per pass",
    "seconds_per_epoch": "time per epoch",
    "forwards_per_batch": "forwards per batch",
    "backwards_per_batch": "backwards per batch",
    "rejections_per_batch": "rejections per batch",
    "rejections_proposal_per_batch": "rejected proposals per batch",
    "train_loss": "train loss",
    "val_accuracy": "validation accuracy",
    "final_val_accuracy": "validation accuracy",
}
"""Quantities in words."""

POINTS = 100.0
"""Differences of accuracies are told in percentage points."""


@dataclass(frozen=True)
class Finding:
    """What one statement of a claim came to in one section.

    Attributes:
        what: The number in words.
        region: Where it had to lie; None for a number that is only told.
        estimate: The number; None if it was not tested.
        verdict: What follows.
        needs: What a test would need, if it was not tested.
    """

    what: str
    region: Region | None
    estimate: Estimate | None
    verdict: Verdict
    needs: str = ""


class Rule(Protocol):
    """One statement of a claim."""

    def what(self) -> str:
        """Return the number in words."""
        ...

    @property
    def region(self) -> Region | None:
        """Where the number has to lie."""
        ...

    def estimate(self, evidence: Evidence) -> Estimate:
        """Estimate the number; raises `MissingError` if the records do not hold it."""
        ...


def examine(rule: Rule, evidence: Evidence) -> Finding:
    """Examine one statement in one section."""
    try:
        estimate = rule.estimate(evidence)
    except MissingError as missing:
        return Finding(rule.what(), rule.region, None, Verdict.NOT_TESTED, str(missing))
    if estimate.n < LEAST_SEEDS or math.isnan(estimate.value):
        needs = f"at least {LEAST_SEEDS} seeds with a result, found {estimate.n}"
        return Finding(rule.what(), rule.region, None, Verdict.NOT_TESTED, needs)
    verdict = rule.region.verdict(estimate) if rule.region else Verdict.CONFIRMED
    return Finding(rule.what(), rule.region, estimate, verdict)


@dataclass(frozen=True)
class Compared:
    """A quantity of two methods."""

    quantity: str
    of: Who
    to: Who
    region: Region | None
    when: When = "run"

    def _pair(self, evidence: Evidence) -> tuple[BySeed, BySeed]:
        if self.when == "run":
            return evidence.rate(self.of, self.quantity), evidence.rate(self.to, self.quantity)
        ends = [evidence.epochs_of(who) for who in (self.of, self.to)]
        if self.when == "shared":
            ends = [min(ends)] * 2
        first, second = (
            evidence.at_epoch(who, self.quantity, end)
            for who, end in zip((self.of, self.to), ends, strict=True)
        )
        return first, second

    def _when(self) -> str:
        return {"run": "", "shared": " after equal epochs", "end": " at the end"}[self.when]


class Ratio(Compared):
    """The ratio of two methods' means, paired by seed."""

    def what(self) -> str:
        """Return the number in words."""
        return f"{NAMES[self.quantity]}{self._when()}, {self.of} / {self.to}"

    def estimate(self, evidence: Evidence) -> Estimate:
        """Estimate it."""
        of, to = self._pair(evidence)
        ratio = paired_ratio(of, to)
        return Estimate(ratio.value, ratio.low, ratio.high, ratio.n, _missing(of, to, ratio.n))


class Gap(Compared):
    """The difference of a quantity of two methods, paired by seed."""

    def what(self) -> str:
        """Return the number in words."""
        return f"{NAMES[self.quantity]}{self._when()}, {self.of} - {self.to}"

    def estimate(self, evidence: Evidence) -> Estimate:
        """Estimate it."""
        return difference(*self._pair(evidence))


class Difference(Compared):
    """The difference of two methods' accuracies, paired by seed, in percentage points."""

    def what(self) -> str:
        """Return the number in words."""
        return f"{NAMES[self.quantity]}{self._when()}, {self.of} - {self.to}, points"

    def estimate(self, evidence: Evidence) -> Estimate:
        """Estimate it."""
        return difference(*self._pair(evidence), scale=POINTS)


@dataclass(frozen=True)
class Level:
    """A quantity of one method."""

    quantity: str
    of: Who
    region: Region | None

    def what(self) -> str:
        """Return the number in words."""
        return f"{NAMES[self.quantity]}, {self.of}"

    def estimate(self, evidence: Evidence) -> Estimate:
        """Estimate it."""
        found = summarise(list(evidence.rate(self.of, self.quantity).values()))
        return Estimate(found.mean, found.low, found.high, found.n, found.missing)


@dataclass(frozen=True)
class Longer:
    """How many times the epochs of another method somebody was given."""

    of: Who
    to: Who
    region: Region | None

    def what(self) -> str:
        """Return the number in words."""
        return f"epochs, {self.of} / {self.to}"

    def estimate(self, evidence: Evidence) -> Estimate:
        """Return it, exactly."""
        ratio = evidence.epochs_of(self.of) / evidence.epochs_of(self.to)
        if self.region is not None and not self.region.holds(ratio):
            raise MissingError(f"runs of {self.of} with {self.region.at_least:g} times the epochs")
        return Estimate(ratio, ratio, ratio, len(evidence.rate(self.of, "epochs_done")))


@dataclass(frozen=True)
class Sooner:
    """Epochs until a method meets the loss, or accuracy, that another one ends with.

    Seed by seed, so that the other one always gets there. The ratio of Kaplan-Meier medians: runs
    that never get there are censored, and make the median infinite if they are too many.
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
        end = evidence.epochs_of(self.to)
        targets = evidence.at_epoch(self.to, self.quantity, end)
        of, to = (self._epochs_to(evidence, who, targets) for who in (self.of, self.to))
        ratio = ratio_of_medians(of, to)
        return Estimate(ratio.value, ratio.low, ratio.high, ratio.n)

    def _epochs_to(self, evidence: Evidence, who: Who, targets: BySeed) -> list[tuple[float, bool]]:
        """Return for every run when it met its target, or up to when it was seen not to."""
        found = []
        for run in split(evidence.rows(who), "seed"):
            target = targets.get(int(run["seed"].iloc[0]), math.nan)
            if math.isnan(target):
                continue
            epochs, values = floats(run, "epoch"), floats(run, self.quantity)
            there = values <= target if self.quantity.endswith("loss") else values >= target
            met = epochs[there & (epochs > 0)]
            found.append((float(met.min()), True) if len(met) else (float(epochs.max()), False))
        return found


@dataclass(frozen=True)
class Identical:
    """The largest difference between any two numbers of two methods' epochs, seed by seed."""

    of: Who
    to: Who
    region: Region | None

    def what(self) -> str:
        """Return the number in words."""
        return f"largest difference of any epoch's loss or radius, {self.of} - {self.to}"

    def estimate(self, evidence: Evidence) -> Estimate:
        """Return it, exactly."""
        columns = ["train_loss", "val_loss", "val_accuracy", "rejections", "radius"]
        of, to = (
            {int(run["seed"].iloc[0]): run for run in split(evidence.rows(who), "seed")}
            for who in (self.of, self.to)
        )
        shared = sorted(set(of) & set(to))
        if not shared:
            raise MissingError(f"runs of {self.of} and {self.to} with the same seeds")
        if any(len(of[seed]) != len(to[seed]) for seed in shared):
            raise MissingError(f"runs of {self.of} and {self.to} with the same epochs")
        gaps = [
            np.nanmax(np.abs(of[seed][columns].to_numpy(float) - to[seed][columns].to_numpy(float)))
            for seed in shared
        ]
        worst = float(max(gaps))
        return Estimate(worst, worst, worst, len(shared))


@dataclass(frozen=True)
class Spread:
    """Difference of accuracy between the best and the worst value of an option, in points."""

    quantity: str
    of: Who
    option: str
    region: Region | None

    def what(self) -> str:
        """Return the number in words."""
        return f"{NAMES[self.quantity]}, best - worst {self.option} of {self.of}, points"

    def estimate(self, evidence: Evidence) -> Estimate:
        """Estimate it."""
        labels = evidence.labels_by(self.of, self.option)
        values = [evidence.rate_of(label, self.quantity) for label in labels.values()]
        best = max(values, key=lambda by_seed: summarise(list(by_seed.values())).mean)
        worst = min(values, key=lambda by_seed: summarise(list(by_seed.values())).mean)
        return difference(best, worst, scale=POINTS)


def difference(of: BySeed, to: BySeed, *, scale: float = 1.0) -> Estimate:
    """Return the mean difference, paired by seed.

    Args:
        of: Number by seed.
        to: What is subtracted.
        scale: In which unit it is told.
    """
    found = paired_difference(of, to)
    value, low, high = (scale * number for number in (found.mean, found.low, found.high))
    return Estimate(value, low, high, found.n, _missing(of, to, found.n))


def _missing(of: Mapping[int, float], to: Mapping[int, float], n: int) -> int:
    return len(set(of) | set(to)) - n
