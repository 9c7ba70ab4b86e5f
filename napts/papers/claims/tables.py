"""Verdicts as tables and as plain data."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from napts.analysis.tables import MISSING, Table, number
from napts.papers.claims.claim import Claim, Finding
from napts.papers.claims.judge import Judgement, overall
from napts.papers.claims.verdict import Estimate, Verdict


def claims_tables(judgements: Sequence[Judgement]) -> list[Table]:
    """Arrange judgements in tables: the verdicts, what was measured, what the rest would need.

    Args:
        judgements: Those of `napts.papers.claims.judge`.
    """
    tested = [j for j in judgements if j.verdict is not Verdict.NOT_TESTED]
    tables = [_verdicts(judgements), _measured(tested), _needs(judgements)]
    return [table for table in tables if table.rows]


def by_claim(judgements: Sequence[Judgement]) -> list[tuple[Claim, list[Judgement]]]:
    """Group judgements by their claim, in order."""
    claims = {j.claim.name: j.claim for j in judgements}
    return [(c, [j for j in judgements if j.claim.name == c.name]) for c in claims.values()]


def _verdicts(judgements: Sequence[Judgement]) -> Table:
    rows = [
        [claim.name, claim.statement, str(overall(group)), _where(group)]
        for claim, group in by_claim(judgements)
        if claim.rules
    ]
    return Table(
        "Claims",
        ["claim", "what it says", "verdict", "where"],
        rows,
        [
            "Confirmed: the whole 95 % interval over seeds lies where the claim puts it; "
            "refuted: none of it does; undecided: it reaches across, more seeds are needed. "
            "Intervals are Student's, paired by seed. If the differences from seed to seed are "
            "normal, they confirm falsely in at most 2.5 % of all cases, with 3 seeds as with 10; "
            "if they are strongly skewed, in up to 11 %, and 3 to 5 seeds cannot show whether "
            "they are (docs/explanation/verdicts.md has the rates). "
            "Thresholds are in the code, ours where the papers give none; "
            "docs/explanation/verdicts.md says when they were fixed."
        ],
        words=("what it says", "verdict", "where"),
    )


def _where(group: Sequence[Judgement]) -> str:
    found = [f"{j.section.slug}: {j.verdict}" for j in group if j.section and _tested(j)]
    return "; ".join(found) or MISSING


def _tested(judgement: Judgement) -> bool:
    return judgement.verdict is not Verdict.NOT_TESTED


def _measured(judgements: Sequence[Judgement]) -> Table:
    rows = [
        [
            judgement.claim.name,
            judgement.section.slug if judgement.section else "",
            finding.what,
            interval(finding.estimate) if finding.reached else "not reached",
            _seeds(finding.estimate),
            str(finding.region) if finding.region else "not judged",
            _verdict(finding),
        ]
        for judgement in judgements
        for finding in judgement.findings
    ]
    return Table(
        "What was measured",
        ["claim", "section", "number", "value [95 % interval]", "n", "must be", "verdict"],
        rows,
        [
            "Paired by seed. n: seeds; bad: of these, with a run that failed or diverged, which "
            "counts as the worst; open: further seeds with a run that has not ended or was never "
            "made. A verdict in brackets stands beside: that on the claim does not depend on it."
        ],
        words=("section", "number"),
    )


def _verdict(finding: Finding) -> str:
    if not finding.region:
        return ""
    return str(finding.verdict) if finding.counts else f"({finding.verdict})"


def _needs(judgements: Sequence[Judgement]) -> Table:
    rows = [
        [claim.name, claim.statement, group[0].needs if len(group) == 1 else _all_needs(group)]
        for claim, group in by_claim(judgements)
        if not any(_tested(judgement) for judgement in group)
    ]
    return Table(
        "Not tested",
        ["claim", "what it says", "what a test would need"],
        rows,
        words=("what it says", "what a test would need"),
    )


def _all_needs(group: Sequence[Judgement]) -> str:
    return "; ".join(dict.fromkeys(judgement.needs for judgement in group))


def interval(estimate: Estimate | None) -> str:
    """Format an estimate as ``value [low, high]``."""
    if estimate is None:
        return MISSING
    if estimate.low == estimate.high == estimate.value:
        return number(estimate.value)
    return f"{number(estimate.value)} [{number(estimate.low)}, {number(estimate.high)}]"


def _seeds(estimate: Estimate | None) -> str:
    if estimate is None:
        return MISSING
    counts = {"bad": estimate.bad, "open": estimate.missing}
    told = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    return f"{estimate.n} ({told})" if told else str(estimate.n)


def claims_data(judgements: Sequence[Judgement]) -> list[dict[str, Any]]:
    """Return one plain dictionary per claim and section, for JSON."""
    return [
        {
            "claim": j.claim.name,
            "statement": j.claim.statement,
            "source": j.claim.source,
            "section": j.section.slug if j.section else None,
            "verdict": str(j.verdict),
            "needs": j.needs,
            "findings": [_finding(finding) for finding in j.findings],
        }
        for j in judgements
    ]


def _finding(finding: Finding) -> dict[str, Any]:
    estimate, region = finding.estimate, finding.region
    return {
        "number": finding.what,
        "must_be": str(region) if region else None,
        "value": _plain(estimate.value) if estimate else None,
        "low": _plain(estimate.low) if estimate else None,
        "high": _plain(estimate.high) if estimate else None,
        "n": estimate.n if estimate else None,
        "missing": estimate.missing if estimate else None,
        "bad": estimate.bad if estimate else None,
        "verdict": str(finding.verdict),
        "needs": finding.needs,
        "counts": finding.counts,
    }


def _plain(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def claims_frame(judgements: Sequence[Judgement]) -> pd.DataFrame:
    """Return one row per number that was measured or is missing."""
    rows = [
        {
            **{name: entry[name] for name in ("claim", "section", "statement", "source")},
            "claim_verdict": entry["verdict"],
            **finding,
        }
        for entry in claims_data(judgements)
        for finding in entry["findings"] or [{"needs": entry["needs"]}]
    ]
    return pd.DataFrame(rows)
