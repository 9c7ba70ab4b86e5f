"""A claim of a paper: what it says, where, and the rules for examining it."""

import math
from dataclasses import dataclass, replace
from typing import Protocol

from napts.analysis import Section
from napts.papers.claims.evidence import Evidence, MissingError, NotReachedError
from napts.papers.claims.verdict import Estimate, Region, Verdict
from napts.records.metric import ACCURACY, Metric

LEAST_SEEDS = 3
"""With fewer seeds nothing is judged, since there is no interval."""


class Rule(Protocol):
    """One statement of a claim."""

    def what(self) -> str:
        """Return the number in words."""
        ...

    @property
    def region(self) -> Region | None:
        """Where the number must lie."""
        ...

    def estimate(self, evidence: Evidence) -> Estimate:
        """Estimate the number; raises `MissingError` if the records do not hold it."""
        ...


@dataclass(frozen=True)
class Claim:
    """A checkable statement.

    Attributes:
        name: Short name, for example ``"N3"``.
        statement: What is claimed.
        source: Paper and place.
        rules: What is measured and where it must lie, declared beforehand; all must hold. A rule
            without a region is only reported. Empty if the package does not test the claim.
        where_there: Further rules that must hold if the records have what they need, and are left
            out otherwise.
        beside: Further rules, examined in the same way, on which the verdict does not depend.
        needs: What a test would need, if there are no rules.
        on: The workloads that it is about: those whose names begin with this, or one of these.
        least_batch: The smallest batch, in samples, that it is about.
        metric: It is about runs compared by this metric; None for any, since its rules measure
            something else.
    """

    name: str
    statement: str
    source: str
    rules: tuple[Rule, ...] = ()
    where_there: tuple[Rule, ...] = ()
    beside: tuple[Rule, ...] = ()
    needs: str = ""
    on: str | tuple[str, ...] = ""
    least_batch: int = 1
    metric: Metric | None = ACCURACY

    def speaks_of(self, section: Section) -> bool:
        """Tell whether the claim applies to a section."""
        if self.metric not in (None, section.metric):
            return False
        sizes = (run.spec["budget"]["batch_size"] for run in section.records)
        least = min(math.inf if size == "full" else size for size in sizes)
        return section.workload.startswith(self.on) and least >= self.least_batch


@dataclass(frozen=True)
class Finding:
    """The result of one statement of a claim in one section.

    Attributes:
        what: The number in words.
        region: Where it had to lie; None for a number that is only reported.
        estimate: The number; None if it was not tested.
        verdict: What follows.
        needs: What a test would need, if it was not tested.
        counts: Whether the verdict on the claim depends on it.
        reached: Whether some run has reached the target that it is about, if any.
    """

    what: str
    region: Region | None
    estimate: Estimate | None
    verdict: Verdict
    needs: str = ""
    counts: bool = True
    reached: bool = True


def examine(rule: Rule, evidence: Evidence) -> Finding:
    """Examine one statement in one section."""
    try:
        estimate = rule.estimate(evidence)
    except MissingError as missing:
        reached = not isinstance(missing, NotReachedError)
        needs = str(missing)
        return Finding(rule.what(), rule.region, None, Verdict.NOT_TESTED, needs, reached=reached)
    if estimate.n < LEAST_SEEDS:
        needs = f"at least {LEAST_SEEDS} seeds with a result, found {estimate.n}"
        return Finding(rule.what(), rule.region, None, Verdict.NOT_TESTED, needs)
    verdict = rule.region.verdict(estimate) if rule.region else Verdict.CONFIRMED
    return Finding(rule.what(), rule.region, estimate, verdict)


def examine_all(claim: Claim, evidence: Evidence) -> tuple[Finding, ...]:
    """Examine all statements of a claim in one section."""
    further = [examine(rule, evidence) for rule in claim.where_there]
    return (
        *(examine(rule, evidence) for rule in claim.rules),
        *(finding for finding in further if finding.verdict is not Verdict.NOT_TESTED),
        *(replace(examine(rule, evidence), counts=False) for rule in claim.beside),
    )
