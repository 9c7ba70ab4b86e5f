"""The kinds of statements that claims make, and how each is examined.

In all of them a run that failed or diverged counts as the worst and is not left out; see
`napts.papers.claims.evidence`.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from napts.analysis.columns import Floats, split
from napts.analysis.statistics import summarise
from napts.papers.claims.evidence import BySeed, Evidence, MissingError, Who
from napts.papers.claims.paired import difference, ratio, some_ended_well
from napts.papers.claims.verdict import Estimate, Region

When = Literal["run", "shared", "end"]
"""A column of the runs frame, or of the epochs frame at the last epoch that both have, or at the
last epoch of each."""

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
"""Differences of accuracies are reported in percentage points."""


@dataclass(frozen=True)
class Compared:
    """A quantity of two methods."""

    quantity: str
    of: Who
    to: Who
    region: Region | None
    when: When = "run"

    def _pair(self, evidence: Evidence) -> tuple[BySeed, BySeed]:
        some_ended_well(evidence, self.of, self.to)
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
        bad = evidence.ended_badly(self.of, self.to)
        return ratio(*self._pair(evidence), bad, f"{NAMES[self.quantity]} of {self.to}")


class Gap(Compared):
    """The difference of a quantity of two methods, paired by seed."""

    def what(self) -> str:
        """Return the number in words."""
        return f"{NAMES[self.quantity]}{self._when()}, {self.of} - {self.to}"

    def estimate(self, evidence: Evidence) -> Estimate:
        """Estimate it."""
        return difference(*self._pair(evidence), evidence.ended_badly(self.of, self.to))


class Difference(Compared):
    """The difference of two methods' accuracies, paired by seed, in percentage points."""

    def what(self) -> str:
        """Return the number in words."""
        return f"{NAMES[self.quantity]}{self._when()}, {self.of} - {self.to}, points"

    def estimate(self, evidence: Evidence) -> Estimate:
        """Estimate it."""
        bad = evidence.ended_badly(self.of, self.to)
        return difference(*self._pair(evidence), bad, scale=POINTS)


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
        bad = len(evidence.ended_badly(self.of))
        low = max(found.low, 0.0)  # no quantity of these is negative
        return Estimate(found.mean, low, found.high, found.n, found.missing, bad)


@dataclass(frozen=True)
class Longer:
    """The number of epochs of a method, as a multiple of another method's."""

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
        return Estimate(ratio, ratio, ratio, len(evidence.states(self.of)))


@dataclass(frozen=True)
class Identical:
    """The largest difference between any two numbers of two methods' epochs, seed by seed.

    It is infinite if only one of them has a number, or if a run ended badly before the other. Runs
    that end badly in the same way are identical.
    """

    of: Who
    to: Who
    region: Region | None

    def what(self) -> str:
        """Return the number in words."""
        return f"largest difference of any epoch's loss or radius, {self.of} - {self.to}"

    def estimate(self, evidence: Evidence) -> Estimate:
        """Return it, exactly."""
        error = evidence.section.metric.column("val")
        columns = ["train_loss", "val_loss", error, "rejections", "radius"]
        of, to = (
            {int(run["seed"].iloc[0]): run for run in split(evidence.rows(who), "seed")}
            for who in (self.of, self.to)
        )
        shared = sorted(set(of) & set(to))
        if not shared:
            raise MissingError(f"runs of {self.of} and {self.to} with the same seeds")
        bad = evidence.ended_badly(self.of, self.to).intersection(shared)
        gaps = []
        for seed in shared:
            if len(of[seed]) == len(to[seed]):
                numbers = (run[seed][columns].to_numpy(float) for run in (of, to))
                gaps.append(_largest_gap(*numbers))
            elif seed in bad:
                gaps.append(math.inf)
            else:
                raise MissingError(f"runs of {self.of} and {self.to} with the same epochs")
        worst = float(max(gaps))
        return Estimate(worst, worst, worst, len(shared), bad=len(bad))


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
        return difference(best, worst, evidence.badly_ended(labels.values()), scale=POINTS)


def _largest_gap(of: Floats, to: Floats) -> float:
    """Return the largest difference of two arrays; numbers missing in both do not differ."""
    alike = (of == to) | (np.isnan(of) & np.isnan(to))
    with np.errstate(invalid="ignore"):
        gaps = np.where(alike, 0.0, np.abs(of - to))
    return float(np.nan_to_num(gaps, nan=math.inf, posinf=math.inf).max(initial=0.0))
