"""Verdicts follow from whole intervals, and mean what they say."""

import math

import numpy as np
import pytest

from napts.analysis.statistics import summarise
from napts.papers.claims import Estimate, Region, Verdict
from napts.papers.claims.verdict import all_of


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.5, 0.7, Verdict.CONFIRMED),
        (0.5, 0.75, Verdict.CONFIRMED),
        (0.7, 0.8, Verdict.UNDECIDED),
        (0.76, 0.8, Verdict.REFUTED),
        (0.7, math.inf, Verdict.UNDECIDED),
        (math.inf, math.inf, Verdict.REFUTED),
        (0.1, 0.3, Verdict.REFUTED),
        (math.nan, math.nan, Verdict.UNDECIDED),
    ],
)
def test_the_whole_interval_decides(low: float, high: float, expected: Verdict) -> None:
    middle = (low + high) / 2
    region = Region(at_least=0.4, at_most=0.75)
    assert region.verdict(Estimate(middle, low, high, n=5)) is expected


def test_a_region_in_words() -> None:
    assert str(Region(at_most=0.75)) == "at most 0.75"
    assert str(Region(at_least=-1)) == "at least -1"
    assert str(Region(0.4, 0.6)) == "0.4 to 0.6"
    assert str(Region(0.0, 0.0)) == "0"


def test_several_statements() -> None:
    yes, no, open_, none = (
        Verdict.CONFIRMED,
        Verdict.REFUTED,
        Verdict.UNDECIDED,
        Verdict.NOT_TESTED,
    )
    assert all_of([yes, yes]) is yes
    assert all_of([yes, open_]) is open_
    assert all_of([yes, open_, none]) is none
    assert all_of([none, no]) is no
    assert all_of([]) is none


def test_a_true_effect_is_seldom_refuted() -> None:
    """Coverage over 300 experiments of five seeds: where the mean is the bound, few are refuted."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(300):
        summary = summarise(rng.normal(0.75, 0.05, size=5).tolist())
        estimate = Estimate(summary.mean, summary.low, summary.high, summary.n)
        found.append(Region(at_most=0.75).verdict(estimate))
    assert found.count(Verdict.REFUTED) / 300 < 0.15
    assert found.count(Verdict.CONFIRMED) / 300 < 0.15
