"""How often a few seeds confirm something false: the intervals tried on samples with known means.

Samples are drawn so that the true mean, or ratio of means, lies on the bound that a claim sets.
Every "confirmed" and every "refuted" is then only just false, and an interval of 95 % should give
2.5 % of each. ``python -m napts.analysis.false_confirmations`` prints the table of
docs/explanation/verdicts.md, beside the bootstrap intervals that earlier versions had.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from napts.analysis.statistics import CONFIDENCE, paired_ratio, summarise
from napts.analysis.tables import Table, number

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], tuple[Floats, Floats]]
Interval = Callable[[Floats, Floats], tuple[float, float]]

SEEDS = (3, 5, 10)
"""Numbers of seeds that are tried."""

SEED = 20240917
"""Seed of the random numbers; the value has no meaning."""


def _normal(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    return rng.normal(size=n), np.zeros(n)


def _skewed_alike(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    return rng.lognormal(size=n), rng.lognormal(size=n)


def _skewed(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    return rng.exponential(size=n), np.ones(n)


def _ratio(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    """Costs with a common factor per seed, each with a scatter of 10 %."""
    shared = rng.normal(1.0, 0.2, size=n)
    return shared + rng.normal(0.0, 0.1, size=n), shared + rng.normal(0.0, 0.1, size=n)


DIFFERENCES: Mapping[str, Draw] = {
    "normal differences": _normal,
    "differences of two lognormal samples": _skewed_alike,
    "exponential differences": _skewed,
}
"""Pairs of samples with equal means. The tail of the exponential ones is on the right, so claims of
the form "at most" are the ones that they confirm too often."""

RATIOS: Mapping[str, Draw] = {"ratio of means of normal pairs": _ratio}
"""Pairs of samples whose means have the ratio 1."""


@dataclass(frozen=True)
class Rates:
    """How often an interval lay wholly on one side of the true value.

    Attributes:
        below: Share of intervals below it: "at most" claims falsely confirmed, "at least" claims
            falsely refuted.
        above: Share of intervals above it.
    """

    below: float
    above: float


def false_confirmations(draw: Draw, interval: Interval, truth: float, n: int, trials: int) -> Rates:
    """Try an interval on many samples.

    Args:
        draw: Draws two samples of n paired values.
        interval: Returns the ends of the interval of two samples.
        truth: The value that the interval should contain.
        n: Number of seeds.
        trials: Number of samples; the rates scatter by ``sqrt(rate / trials)``.

    Returns:
        The rates.
    """
    rng = np.random.default_rng(SEED)
    ends = np.array([interval(*draw(rng, n)) for _ in range(trials)])
    return Rates(float(np.mean(ends[:, 1] < truth)), float(np.mean(ends[:, 0] > truth)))


def of_difference(above: Floats, below: Floats) -> tuple[float, float]:
    """Return the interval of `summarise` for the mean difference."""
    found = summarise((above - below).tolist())
    return found.low, found.high


def of_ratio(above: Floats, below: Floats) -> tuple[float, float]:
    """Return the interval of `paired_ratio`."""
    found = paired_ratio(dict(enumerate(above.tolist())), dict(enumerate(below.tolist())))
    return found.low, found.high


def bootstrap_of_difference(above: Floats, below: Floats) -> tuple[float, float]:
    """Return the BCa bootstrap interval of the mean difference, for comparison."""
    return _bootstrap((above - below,), np.mean)


def bootstrap_of_ratio(above: Floats, below: Floats) -> tuple[float, float]:
    """Return the BCa bootstrap interval of the ratio of means, for comparison."""
    return _bootstrap((above, below), lambda a, b, axis: a.mean(axis) / b.mean(axis))


def _bootstrap(
    samples: tuple[Floats, ...], statistic: Callable[..., Floats]
) -> tuple[float, float]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # degenerate resamples
        found = stats.bootstrap(
            samples,
            statistic,
            n_resamples=999,
            confidence_level=CONFIDENCE,
            paired=True,
            vectorized=True,
            rng=np.random.default_rng(SEED),
        ).confidence_interval
    return float(found.low), float(found.high)


def rates_table(trials: int = 40_000, bootstraps: int = 4000) -> Table:
    """Return the rates of all samples and numbers of seeds, in percent.

    Args:
        trials: Samples for each rate.
        bootstraps: Samples for each rate of the bootstrap intervals, which take far longer.
    """
    kinds = [(DIFFERENCES, 0.0, of_difference, bootstrap_of_difference)]
    kinds.append((RATIOS, 1.0, of_ratio, bootstrap_of_ratio))
    rows = []
    for samples, truth, interval, bootstrap in kinds:
        for name, draw in samples.items():
            for n in SEEDS:
                ours = false_confirmations(draw, interval, truth, n, trials)
                other = false_confirmations(draw, bootstrap, truth, n, bootstraps)
                shares = (ours.below, ours.above, other.below, other.above)
                rows.append([name, str(n), *(number(100 * share, 1) for share in shares)])
    return Table(
        "False confirmations at the bound, %",
        ["samples", "n", "at most", "at least", "bootstrap: at most", "at least "],
        rows,
        [
            'Share of intervals wholly below (claims "at most") or above ("at least") a true '
            f"value on the bound; nominal 2.5. {trials} samples each, {bootstraps} for the "
            "bootstrap (BCa, 999 resamples)."
        ],
    )


if __name__ == "__main__":
    print(rates_table().to_text())
