"""Numbers of two methods, paired by seed, as estimates."""

import math
from collections.abc import Set as AbstractSet

from napts.analysis.outcome import ENDED_BADLY
from napts.analysis.statistics import paired_difference, paired_ratio
from napts.papers.claims.evidence import BySeed, Evidence, MissingError, Who
from napts.papers.claims.verdict import Estimate


def some_ended_well(evidence: Evidence, *somebody: Who) -> None:
    """Refuse to compare methods if none of their runs ended well.

    Raises:
        MissingError: All runs of all of them failed or diverged.
    """
    states = {state for who in somebody for state in evidence.states(who).values()}
    if states <= set(ENDED_BADLY):
        raise MissingError(f"a run of {' or '.join(map(str, somebody))} that did not end badly")


def ratio(of: BySeed, to: BySeed, bad: AbstractSet[int], divisor: str) -> Estimate:
    """Return the ratio of the means, paired by seed.

    Args:
        of: Number by seed.
        to: The divisor by seed.
        bad: Seeds with which a run ended badly.
        divisor: The divisor in words.

    Raises:
        MissingError: The divisor is 0 with every seed.
    """
    if not any(to.values()):
        raise MissingError(f"{divisor} that is not 0")
    found = paired_ratio(of, to)
    return Estimate(found.value, found.low, found.high, found.n, *_counts(of, to, bad))


def difference(of: BySeed, to: BySeed, bad: AbstractSet[int], *, scale: float = 1.0) -> Estimate:
    """Return the mean difference, paired by seed.

    Args:
        of: Number by seed.
        to: What is subtracted.
        bad: Seeds with which a run ended badly.
        scale: Factor for the unit of the result.
    """
    found = paired_difference(of, to)
    value, low, high = (scale * number for number in (found.mean, found.low, found.high))
    return Estimate(value, low, high, found.n, *_counts(of, to, bad))


def _counts(of: BySeed, to: BySeed, bad: AbstractSet[int]) -> tuple[int, int]:
    """Return how many seeds are missing, and how many of the others count as the worst."""
    either = set(of) | set(to)
    nan = math.nan
    both = {s for s in either if not math.isnan(of.get(s, nan)) and not math.isnan(to.get(s, nan))}
    return len(either) - len(both), len(both & bad)
