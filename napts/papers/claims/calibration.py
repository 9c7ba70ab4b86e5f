"""Calibrating settings that the NAPTS paper does not print: every cell, scored by its claims.

A cell is a set of changed options; each method is run with those that it has. A cell is judged by
the paper's own claims N1 to N10, like any comparison, except for times: these are the times of one
process, as when the scores were declared.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from napts.analysis import Section
from napts.analysis.columns import rows_with
from napts.analysis.outcome import by_outcome
from napts.analysis.statistics import Summary, summarise
from napts.papers.claims.catalogue import CLAIMS
from napts.papers.claims.claim import Claim
from napts.papers.claims.judge import Judgement, judge_section
from napts.papers.claims.verdict import Verdict
from napts.records import RunRecord

SCORED = tuple(f"N{number}" for number in range(1, 11))
"""Claims used to compare cells: those about ratios and orders between the methods."""

POINTS = {Verdict.CONFIRMED: 1.0, Verdict.UNDECIDED: 0.5}
"""How many points a verdict is worth; none if it is not listed."""

Change = tuple[tuple[str, str], ...]
"""Options that a cell changes, with their values as in the runs' labels."""


@dataclass(frozen=True)
class CellResult:
    """The results of a cell.

    Attributes:
        change: What it changes; empty for the unchanged methods.
        judgements: One per claim of `SCORED`.
        score: Points: one per confirmed claim and half a point per undecided claim.
        accuracies: Final validation accuracy of NAPTS over seeds, 0 for runs that ended badly.
    """

    change: Change
    judgements: tuple[Judgement, ...]
    score: float
    accuracies: Summary

    @property
    def accuracy(self) -> float:
        """Mean of its accuracies; NaN if none of its runs ended."""
        return self.accuracies.mean

    @property
    def name(self) -> str:
        """The changed options in one line."""
        return " ".join(f"{name}={value}" for name, value in self.change) or "defaults"


def calibration_cells(section: Section) -> list[Section]:
    """Split a calibration study into comparisons of all methods, one per cell.

    Args:
        section: Runs whose labels are the method's name and what was changed, as written by sweeps
            with alternatives.

    Returns:
        One section per cell, with the cell's change as slug and labels that are the methods' names.
    """
    by_method: dict[str, dict[Change, list[RunRecord]]] = {}
    for run in section.records:
        by_method.setdefault(run.method, {}).setdefault(_change(run), []).append(run)
    changes = by_method.get("NAPTS", {})
    return [
        Section(section.experiment, section.workload, _slug(change), _records(by_method, change))
        for change in changes
    ]


def _change(run: RunRecord) -> Change:
    """Read what a run changes from its label, such as ``"NAPTS eta_1=0.01 window=10"``."""
    pairs = (part.partition("=") for part in run.label.split()[1:])
    return tuple((name, value) for name, _, value in pairs)


def _slug(change: Change) -> str:
    return " ".join(f"{name}={value}" for name, value in change)


def _records(
    by_method: dict[str, dict[Change, list[RunRecord]]], change: Change
) -> tuple[RunRecord, ...]:
    found: list[RunRecord] = []
    for method, runs in by_method.items():
        known = next(iter(runs.values()))[0].spec["optimizer"]
        own = tuple((name, value) for name, value in change if name in known)
        found += (replace(run, label=method) for run in runs.get(own, []))
    return tuple(found)


def score_cells(section: Section) -> list[CellResult]:
    """Judge every cell of a calibration study, and return the best first.

    Cells with equal scores are ordered by the accuracy of NAPTS.
    """
    claims = [_as_declared(claim) for claim in CLAIMS if claim.name in SCORED]
    results = []
    for cell in calibration_cells(section):
        judgements = tuple(judge_section(cell, claims=claims))
        score = sum(POINTS.get(judgement.verdict, 0.0) for judgement in judgements)
        results.append(CellResult(_of_slug(cell.slug), judgements, score, _accuracies(cell)))
    return sorted(results, key=lambda result: (-result.score, -np.nan_to_num(result.accuracy)))


def _as_declared(claim: Claim) -> Claim:
    """Return a claim as it was when cells were first scored, with the times of one process."""
    if not claim.beside:
        return claim
    told = (rule for rule in claim.rules if rule.region is None)
    return replace(claim, rules=(*claim.beside, *told), where_there=(), beside=())


def _of_slug(slug: str) -> Change:
    pairs = (part.partition("=") for part in slug.split())
    return tuple((name, value) for name, _, value in pairs)


def _accuracies(cell: Section) -> Summary:
    runs = cell.runs
    own = rows_with(runs, "method", ["NAPTS"])
    return summarise(by_outcome(own, "final_val_accuracy"))


def deciding(judgement: Judgement) -> int | None:
    """Return the finding that a judgement rests on: the first of the worst, if there are any."""
    order: Sequence[Verdict] = (Verdict.REFUTED, Verdict.NOT_TESTED, Verdict.UNDECIDED)
    counting = (f.counts and f.region is not None for f in judgement.findings)
    pairs = zip(judgement.findings, counting, strict=True)
    verdicts = [finding.verdict if counts else None for finding, counts in pairs]
    for verdict in (*order, Verdict.CONFIRMED):
        if verdict in verdicts:
            return verdicts.index(verdict)
    return None
