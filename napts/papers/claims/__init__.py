"""Which claims of the papers hold: tests declared beforehand, run on records.

This package reads only `napts.analysis`. A claim consists of rules, each with the region in which
its number must lie; the verdict follows from the whole interval.
"""

from napts.papers.claims.catalogue import CLAIMS
from napts.papers.claims.claim import Claim, Finding
from napts.papers.claims.judge import Judgement, judge, judge_section, overall
from napts.papers.claims.tables import claims_data, claims_frame, claims_tables
from napts.papers.claims.verdict import Estimate, Region, Verdict

__all__ = [
    "CLAIMS",
    "Claim",
    "Estimate",
    "Finding",
    "Judgement",
    "Region",
    "Verdict",
    "claims_data",
    "claims_frame",
    "claims_tables",
    "judge",
    "judge_section",
    "overall",
]
