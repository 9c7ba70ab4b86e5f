"""From records to verdicts: every claim in every section that can test it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from napts.analysis import Collection, Section
from napts.papers.claims.catalogue import CLAIMS
from napts.papers.claims.claim import Claim, Finding, examine_all
from napts.papers.claims.evidence import Evidence
from napts.papers.claims.verdict import Verdict, all_of


@dataclass(frozen=True)
class Judgement:
    """What one section says about one claim.

    Attributes:
        claim: The claim.
        section: The section; None if no section was used, because there is no test or no section
            on a workload that the claim is about.
        findings: What was measured, one entry per rule; those the verdict depends on come first.
        verdict: What follows.
    """

    claim: Claim
    section: Section | None
    findings: tuple[Finding, ...]
    verdict: Verdict

    @property
    def needs(self) -> str:
        """What a test would need, if the claim was not tested."""
        missing = dict.fromkeys(f.needs for f in self.findings if f.needs and f.counts)
        return "; ".join(missing) or self.claim.needs or self._comparison()

    def _comparison(self) -> str:
        least = self.claim.least_batch
        batches = f" with batches of {least} or more" if least > 1 else ""
        on = self.claim.on if isinstance(self.claim.on, str) else " or ".join(self.claim.on)
        return f"a comparison on {on}{batches}"


def judge_section(
    section: Section,
    tuned: Mapping[str, Mapping[str, Any]] | None = None,
    claims: Sequence[Claim] = CLAIMS,
) -> list[Judgement]:
    """Examine claims in one section.

    Args:
        section: The runs.
        tuned: For each method, the options that tuning chose on the section's workload.
        claims: The claims; those about other workloads are left out.
    """
    evidence = Evidence(section, tuned or {})
    about = [claim for claim in claims if claim.speaks_of(section)]
    return [_judge(claim, section, evidence) for claim in about]


@lru_cache(maxsize=1)
def judge(collection: Collection) -> list[Judgement]:
    """Examine every claim in every section of comparisons that it is about, or once in none.

    Args:
        collection: The records; its tuning studies say which baselines are tuned.
    """
    judged = []
    for claim in CLAIMS:
        comparisons = collection.of_kind("comparison") if claim.rules else []
        about = [section for section in comparisons if claim.speaks_of(section)]
        if not about:
            judged.append(Judgement(claim, None, (), Verdict.NOT_TESTED))
        for section in about:
            evidence = Evidence(section, collection.tuned(section.workload, section.metric))
            judged.append(_judge(claim, section, evidence))
    return judged


def _judge(claim: Claim, section: Section, evidence: Evidence) -> Judgement:
    findings = examine_all(claim, evidence)
    verdict = all_of(f.verdict for f in findings if f.counts and f.region is not None)
    return Judgement(claim, section, findings, verdict)


def overall(judgements: Sequence[Judgement]) -> Verdict | str:
    """Return the verdict on one claim over all sections.

    Args:
        judgements: Those of one claim.

    Returns:
        The verdict, if all sections that test the claim agree; otherwise how often each was
        reached, for example ``"confirmed 2, refuted 1"``.
    """
    tested = [j.verdict for j in judgements if j.verdict is not Verdict.NOT_TESTED]
    if len(set(tested)) <= 1:
        return tested[0] if tested else Verdict.NOT_TESTED
    counts = ((verdict, tested.count(verdict)) for verdict in Verdict)
    return ", ".join(f"{verdict} {count}" for verdict, count in counts if count)
