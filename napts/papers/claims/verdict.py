"""Estimates with intervals, the regions that claims put them in, and what follows."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What the records say about a claim."""

    CONFIRMED = "confirmed"
    REFUTED = "refuted"
    UNDECIDED = "undecided"
    NOT_TESTED = "not tested"


@dataclass(frozen=True)
class Estimate:
    """A number over seeds.

    Attributes:
        value: The number; NaN if the worst is compared with the worst.
        low: Lower end of the 95 % interval; may be infinite, NaN if there is none.
        high: Upper end of it.
        n: Seeds behind it.
        missing: Further seeds that have no value, because a run has not ended or was never made.
        bad: Seeds among the n that count as the worst, because a run failed or diverged.
    """

    value: float
    low: float
    high: float
    n: int
    missing: int = 0
    bad: int = 0


@dataclass(frozen=True)
class Region:
    """Numbers that agree with a claim, declared before they were measured.

    Attributes:
        at_least: Smallest of them.
        at_most: Largest of them.
    """

    at_least: float = -math.inf
    at_most: float = math.inf

    def holds(self, value: float) -> bool:
        """Whether a number agrees with the claim."""
        return self.at_least <= value <= self.at_most

    def verdict(self, estimate: Estimate) -> Verdict:
        """Judge an estimate by its whole interval.

        Returns:
            Confirmed if the whole interval lies in the region, refuted if none of it does,
            undecided if it extends across the boundary or does not exist: then more seeds are
            needed.
        """
        if self.holds(estimate.low) and self.holds(estimate.high):
            return Verdict.CONFIRMED
        if estimate.high < self.at_least or estimate.low > self.at_most:
            return Verdict.REFUTED
        return Verdict.UNDECIDED

    def __str__(self) -> str:
        """Return the region in words."""
        if self.at_least == self.at_most:
            return f"{self.at_least:g}"
        if math.isinf(self.at_least):
            return f"at most {self.at_most:g}"
        if math.isinf(self.at_most):
            return f"at least {self.at_least:g}"
        return f"{self.at_least:g} to {self.at_most:g}"


def all_of(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the verdict on a claim that makes several statements.

    Returns:
        Refuted if one of them is, else not tested or undecided if one of them is, else confirmed.
    """
    found = set(verdicts)
    order = (Verdict.REFUTED, Verdict.NOT_TESTED, Verdict.UNDECIDED, Verdict.CONFIRMED)
    return next((verdict for verdict in order if verdict in found), Verdict.NOT_TESTED)
