"""Statistics with known answers, degenerate samples included."""

import math

import numpy as np
import pytest
from scipy import stats

from napts.analysis import paired_difference, paired_ratio, summarise
from napts.analysis.false_confirmations import (
    DIFFERENCES,
    RATIOS,
    SEEDS,
    false_confirmations,
    of_difference,
    of_ratio,
    rates_table,
)


def test_summary_of_known_values() -> None:
    summary = summarise([1.0, 2.0, 6.0])
    assert (summary.n, summary.missing) == (3, 0)
    assert (summary.mean, summary.minimum, summary.maximum) == (3.0, 1.0, 6.0)
    # Student's 97.5 % quantile with two degrees of freedom is 4.3027, the variance 7.
    reach = 4.302653 * math.sqrt(7 / 3)
    assert (summary.low, summary.high) == (
        pytest.approx(3 - reach, abs=1e-5),
        pytest.approx(3 + reach, abs=1e-5),
    )


def test_missing_values_are_counted_and_not_zero() -> None:
    summary = summarise([2.0, math.nan, 4.0])
    assert (summary.n, summary.missing, summary.mean, summary.minimum) == (2, 1, 3.0, 2.0)


def test_no_values_at_all() -> None:
    summary = summarise([math.nan])
    assert (summary.n, summary.missing) == (0, 1)
    assert math.isnan(summary.mean)
    assert math.isnan(summary.low)


def test_one_value_has_no_interval() -> None:
    summary = summarise([5.0])
    assert (summary.n, summary.mean) == (1, 5.0)
    assert math.isnan(summary.low)
    assert math.isnan(summary.high)


def test_equal_values_have_an_interval_of_no_width() -> None:
    summary = summarise([0.3, 0.3, 0.3])
    assert (summary.low, summary.high) == (pytest.approx(0.3), pytest.approx(0.3))


def test_nearly_equal_values_have_a_finite_interval() -> None:
    summary = summarise([1.0, 1.0, 1.0, 1.0, 1.0 + 1e-15])
    assert math.isfinite(summary.low)
    assert math.isfinite(summary.high)


def test_an_infinite_loss_is_a_value() -> None:
    summary = summarise([1.0, math.inf])
    assert summary.n == 2
    assert math.isinf(summary.mean)
    assert math.isnan(summary.low)


def test_infinite_values_of_all_runs_have_an_interval_of_no_width() -> None:
    summary = summarise([math.inf] * 3)
    assert (summary.mean, summary.low, summary.high) == (math.inf,) * 3


def test_both_infinities_have_no_mean() -> None:
    summary = summarise([math.inf, 1.0, -math.inf])
    assert math.isnan(summary.mean)
    assert math.isnan(summary.low)


def test_intervals_are_deterministic_and_nested() -> None:
    values = [0.91, 0.93, 0.92, 0.97, 0.9]
    wide, narrow = summarise(values), summarise(values, confidence=0.8)
    assert wide == summarise(values)
    assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0])
def test_impossible_confidence_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence must be between 0 and 1"):
        summarise([1.0, 2.0], confidence=confidence)


def test_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    samples = rng.exponential(scale=2.0, size=(120, 30))
    summaries = [summarise(sample.tolist()) for sample in samples]
    coverage = np.mean([summary.low <= 2.0 <= summary.high for summary in summaries])
    assert 0.88 <= coverage <= 0.99


def test_difference_is_paired_by_seed() -> None:
    # Seeds differ far more than methods do; only pairing sees the constant difference.
    difference = paired_difference({0: 1.5, 1: 10.5, 2: 100.5}, {0: 1.0, 1: 10.0, 2: 100.0, 3: 7.0})
    assert (difference.n, difference.missing) == (3, 1)
    assert difference.mean == pytest.approx(0.5)
    assert (difference.low, difference.high) == (pytest.approx(0.5), pytest.approx(0.5))


def test_ratio_is_of_the_means_over_shared_seeds() -> None:
    ratio = paired_ratio({0: 2.0, 1: 4.0, 9: 1000.0}, {0: 1.0, 1: 3.0})
    assert ratio.n == 2
    assert ratio.value == pytest.approx(1.5)
    # With two seeds the mean of the reference cannot be told from zero, and nothing is negative.
    assert (ratio.low, ratio.high) == (0.0, math.inf)


def test_the_interval_of_a_ratio_is_what_a_paired_t_test_does_not_reject() -> None:
    rng = np.random.default_rng(3)
    above, below = rng.normal(3.0, 0.4, 5), rng.normal(2.0, 0.3, 5)
    ratio = paired_ratio(dict(enumerate(above)), dict(enumerate(below)))
    assert ratio.low < ratio.value < ratio.high
    for end in (ratio.low, ratio.high):
        assert stats.ttest_1samp(above - end * below, 0.0).pvalue == pytest.approx(0.05)


INF = math.inf


@pytest.mark.parametrize(
    ("above", "below", "value", "interval"),
    [
        ((INF, 1.0, 1.0), (2.0, 2.0, 2.0), INF, math.nan),
        ((INF, INF, INF), (2.0, 2.0, 3.0), INF, INF),
        ((1.0, 1.0, 1.0), (2.0, INF, 2.0), 0.0, math.nan),
        ((1.0, 1.0, 1.0), (INF, INF, INF), 0.0, 0.0),
        ((1.0, INF, 1.0), (2.0, INF, 2.0), math.nan, math.nan),
    ],
)
def test_ratio_of_infinite_values(
    above: tuple[float, ...], below: tuple[float, ...], value: float, interval: float
) -> None:
    ratio = paired_ratio(dict(enumerate(above)), dict(enumerate(below)))
    assert ratio.n == 3
    found = (ratio.value, ratio.low, ratio.high)
    assert found == pytest.approx((value, interval, interval), nan_ok=True)


def test_equally_infinite_values_do_not_differ() -> None:
    difference = paired_difference({0: INF, 1: 2.0, 2: 3.0}, {0: INF, 1: 2.0, 2: 3.0})
    assert (difference.n, difference.mean, difference.low, difference.high) == (3, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("n", SEEDS)
def test_claims_on_the_bound_are_falsely_confirmed_as_often_as_said(n: int) -> None:
    trials = 3000
    scatter = 3 * math.sqrt(0.025 * 0.975 / trials)
    normal = false_confirmations(DIFFERENCES["normal differences"], of_difference, 0.0, n, trials)
    alike = DIFFERENCES["differences of two lognormal samples"]
    skewed_alike = false_confirmations(alike, of_difference, 0.0, n, trials)
    skewed = DIFFERENCES["exponential differences"]
    worst = false_confirmations(skewed, of_difference, 0.0, n, trials)
    assert normal.below == pytest.approx(0.025, abs=scatter)
    assert normal.above == pytest.approx(0.025, abs=scatter)
    assert max(skewed_alike.below, skewed_alike.above) < 0.025 + scatter
    assert 0.08 < worst.below < 0.13  # what the documentation warns of
    assert worst.above < 0.015


@pytest.mark.parametrize("n", SEEDS)
def test_ratios_on_the_bound_are_falsely_confirmed_as_often_as_said(n: int) -> None:
    (draw,) = RATIOS.values()
    rates = false_confirmations(draw, of_ratio, 1.0, n, 1500)
    assert rates.below == pytest.approx(0.025, abs=0.012)
    assert rates.above == pytest.approx(0.025, abs=0.012)


def test_the_long_form_prints_every_rate() -> None:
    table = rates_table(trials=4, bootstraps=1)
    assert [row[:2] for row in table.rows] == [
        [name, str(n)] for name in (*DIFFERENCES, *RATIOS) for n in SEEDS
    ]


def test_ratio_of_proportional_values_is_exact() -> None:
    ratio = paired_ratio({0: 3.0, 1: 6.0, 2: 9.0}, {0: 1.0, 1: 2.0, 2: 3.0})
    assert ratio.value == pytest.approx(3.0)
    assert (ratio.low, ratio.high) == (pytest.approx(3.0), pytest.approx(3.0))


@pytest.mark.parametrize("reference", [{}, {7: 1.0}, {0: math.nan}, {0: 0.0}])
def test_ratio_without_a_denominator_does_not_exist(reference: dict[int, float]) -> None:
    assert math.isnan(paired_ratio({0: 1.0}, reference).value)
