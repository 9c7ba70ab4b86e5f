"""Statistics over seeds: mean with range, intervals of Student's t, comparisons paired by seed.

With three to ten seeds, the width of an interval rests on an assumption. Here it is that the values
(in a comparison, the differences seed by seed) are normal, and then the intervals are exact: a
claim whose number lies on its bound is falsely confirmed in 2.5 % of all cases, with three seeds
as with ten. Bootstrap intervals, which assume less, cannot see beyond the few values that they
have: at n = 3 they confirm falsely in more than 10 % of all cases, at n = 5 in 6 %. Skewed values
violate the assumption, above all if the long tail is on the side of the bound; differences of two
methods that are skewed alike are hardly affected. `napts.analysis.false_confirmations` measures
all of this, and docs/explanation/verdicts.md has the numbers. Range and n are always reported too.

Infinite values are valid: they make a mean infinite, and there is then no interval unless all
values are equal.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]

CONFIDENCE = 0.95
"""Nominal coverage of all intervals."""


@dataclass(frozen=True)
class Summary:
    """A quantity over seeds.

    Attributes:
        n: Number of values.
        missing: Runs that have no value.
        mean: Arithmetic mean; NaN if there is no value, or if both infinities are among them.
        minimum: Smallest value.
        maximum: Largest value.
        low: Lower end of the interval of the mean; NaN if n < 2, or if some but not all of the
            values are infinite.
        high: Upper end of it.
        confidence: Nominal coverage of the interval.
    """

    n: int
    missing: int
    mean: float
    minimum: float
    maximum: float
    low: float
    high: float
    confidence: float = CONFIDENCE


@dataclass(frozen=True)
class Ratio:
    """Ratio of two methods over the seeds that both have.

    Attributes:
        n: Number of shared seeds.
        value: The ratio; NaN if there is no shared seed, or the ratio is that of two zeros or of
            two infinities.
        low: Lower end of the interval; NaN if there is none.
        high: Upper end of it; may be infinite.
    """

    n: int
    value: float
    low: float
    high: float


def summarise(values: Sequence[float], *, confidence: float = CONFIDENCE) -> Summary:
    """Summarise one quantity over seeds.

    Args:
        values: One value per run; NaN if the run has none. For runs that ended badly, see
            `napts.analysis.outcome`.
        confidence: Nominal coverage of the interval, between 0 and 1.

    Returns:
        The summary.

    Raises:
        ValueError: ``confidence`` is not between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence}")
    array = np.asarray(values, dtype=np.float64)
    present = array[~np.isnan(array)]
    missing = len(array) - len(present)
    if not len(present):
        nan = math.nan
        return Summary(0, missing, nan, nan, nan, nan, nan, confidence)
    low, high = interval_of_mean(present, confidence)
    mean, minimum, maximum = _mean(present), float(present.min()), float(present.max())
    return Summary(len(present), missing, mean, minimum, maximum, low, high, confidence)


def paired_difference(
    values: Mapping[int, float], reference: Mapping[int, float], *, confidence: float = CONFIDENCE
) -> Summary:
    """Summarise the difference of two methods, seed by seed.

    Args:
        values: Value per seed of the method.
        reference: Value per seed of the method it is compared with.
        confidence: Nominal coverage of the interval.

    Returns:
        Summary of ``values[s] - reference[s]``; seeds that only one of them has are missing. Equal
        infinities differ by 0: neither run is better.
    """
    seeds = sorted(set(values) | set(reference))
    nan = math.nan
    pairs = [(values.get(seed, nan), reference.get(seed, nan)) for seed in seeds]
    return summarise([0.0 if a == b else a - b for a, b in pairs], confidence=confidence)


def paired_ratio(
    values: Mapping[int, float], reference: Mapping[int, float], *, confidence: float = CONFIDENCE
) -> Ratio:
    """Return the ratio of two methods' means over the seeds that both have.

    It is the ratio of means, not the mean of ratios: a reader gets the same by dividing the two
    numbers in a table, and one seed near zero does not dominate it. The interval is Fieller's
    (1954): it contains the ratios r for which the paired t test does not reject that ``values - r *
    reference`` has mean 0.

    Args:
        values: Value per seed of the method.
        reference: Value per seed of the method it is compared with.
        confidence: Nominal coverage of the interval.

    Returns:
        The ratio with its interval. The interval is unbounded if the reference's mean cannot be
        distinguished from 0, does not go below 0 if no value is negative, and has no width if all
        pairs have the same ratio. Infinite values make the ratio infinite, 0 or, on both sides,
        NaN; it then has an interval only if all values of one side and none of the other are
        infinite.
    """
    seeds = sorted(set(values) & set(reference))
    pairs = np.array([(values[seed], reference[seed]) for seed in seeds], dtype=np.float64)
    pairs = pairs.reshape(-1, 2)
    above, below = np.ascontiguousarray(pairs[~np.isnan(pairs).any(axis=1)].T)
    n = len(above)
    if not n or _mean(below) == 0:
        return Ratio(n, math.nan, math.nan, math.nan)
    infinite = np.isinf(above), np.isinf(below)
    if any(each.any() for each in infinite):
        with np.errstate(invalid="ignore"):
            value = float(np.divide(_mean(above), _mean(below)))
        alike = all(each.all() or not each.any() for each in infinite) and n > 1
        return Ratio(n, value, *(value if alike else math.nan,) * 2)
    return Ratio(n, _mean(above) / _mean(below), *_fieller(above, below, confidence))


def interval_of_mean(values: Floats, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return Student's interval of a mean.

    Args:
        values: The values, none NaN, shape ``(n,)``.
        confidence: Nominal coverage.

    Returns:
        Its ends: twice the value if all are equal, NaN for n < 2 or some infinite values.
    """
    if len(values) < 2:
        return math.nan, math.nan
    if (values == values[0]).all():
        return float(values[0]), float(values[0])
    if np.isinf(values).any():
        return math.nan, math.nan
    reach = _quantile(len(values), confidence) * float(values.std(ddof=1)) / math.sqrt(len(values))
    mean = _mean(values)
    return mean - reach, mean + reach


def _mean(values: Floats) -> float:
    with np.errstate(invalid="ignore"):  # both infinities have no mean
        return float(values.mean())


def _quantile(n: int, confidence: float) -> float:
    return float(stats.t.ppf((1 + confidence) / 2, n - 1))


def _fieller(above: Floats, below: Floats, confidence: float) -> tuple[float, float]:
    """Fieller's interval around the ratio r, computed so that nothing cancels if it is narrow.

    For ``r + d`` the residuals are ``e - d * below``, where e are those for r, of mean 0. Not
    rejected are ``(d * mean(below))**2 <= k * var(e - d * below)``, a quadratic inequality in d.
    """
    n = len(above)
    if n < 2:
        return math.nan, math.nan
    ratio = _mean(above) / _mean(below)
    if np.allclose(above, ratio * below, rtol=1e-12, atol=0.0):
        return ratio, ratio
    k = _quantile(n, confidence) ** 2 / n
    covariance = k * np.cov(above - ratio * below, below, ddof=1)
    curvature = _mean(below) ** 2 - covariance[1, 1]
    lowest = 0.0 if min(above.min(), below.min()) >= 0 else -math.inf
    if curvature <= 0:
        return lowest, math.inf
    root = math.sqrt(covariance[0, 1] ** 2 + curvature * covariance[0, 0])
    ends = [ratio + (sign * root - covariance[0, 1]) / curvature for sign in (-1, 1)]
    return max(lowest, float(ends[0])), float(ends[1])
