"""Time to a target that was fixed beforehand, with runs that miss it counted as censored."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from napts.analysis.labels import grouped
from napts.analysis.statistics import BOOTSTRAP_SEED, RESAMPLES, Ratio

CLOCKS = (
    *("epoch", "train_seconds_total", "cpu_seconds_total", "elapsed_seconds"),
    "pass_equivalents_total",
)
"""Columns of the epochs frame along which time may be measured."""


@dataclass(frozen=True)
class TimeToTarget:
    """How fast a method reaches a target over its seeds.

    Attributes:
        label: Label of the method.
        n: Number of runs.
        reached: Runs that reached the target.
        median: Kaplan-Meier median of the time; infinite if fewer than half of the runs are known
            to reach the target.
        times: Per run, in order of the seed, when it reached the target, or up to when it was
            seen not to.
        censored: Per run, whether it missed the target.
    """

    label: str
    n: int
    reached: int
    median: float
    times: tuple[float, ...]
    censored: tuple[bool, ...]


def time_to_target(
    epochs: pd.DataFrame,
    metric: str,
    target: float,
    *,
    clock: str = "train_seconds_total",
    goal: Literal["min", "max"] | None = None,
) -> list[TimeToTarget]:
    """Measure when each run first meets a target at the end of an epoch.

    Args:
        epochs: Frame of `epochs_frame`, of one section.
        metric: Column that is to meet the target, for example ``"val_accuracy"``.
        target: Value to meet, in the unit of the column.
        clock: One of `CLOCKS`.
        goal: ``"min"`` if the metric must fall to the target, ``"max"`` if it must rise to it; by
            default ``"max"`` for accuracies, else ``"min"``.

    Returns:
        One entry per label in the usual order.

    Raises:
        ValueError: Unknown metric or clock.
    """
    if clock not in CLOCKS:
        raise ValueError(f"clock {clock!r} is not one of {', '.join(CLOCKS)}")
    if metric not in epochs.columns:
        raise ValueError(f"metric {metric!r} is not a column of the epochs frame")
    rising = goal == "max" if goal else "accuracy" in metric
    results = []
    for _, label, group in grouped(epochs):
        found = [_first(run, clock, metric, target, rising) for _, run in group.groupby("seed")]
        results.append(_aggregate(label, found))
    return results


def _first(
    run: pd.DataFrame, clock: str, metric: str, target: float, rising: bool
) -> tuple[float, bool]:
    times, values = run[clock].to_numpy(float), run[metric].to_numpy(float)
    met = values >= target if rising else values <= target
    return (float(times[met].min()), True) if met.any() else (float(times.max()), False)


def _aggregate(label: str, found: Sequence[tuple[float, bool]]) -> TimeToTarget:
    times = tuple(time for time, _ in found)
    censored = tuple(not hit for _, hit in found)
    reached = len(found) - sum(censored)
    return TimeToTarget(label, len(found), reached, _median(times, censored), times, censored)


def ratio_of_medians(
    of: Sequence[tuple[float, bool]], to: Sequence[tuple[float, bool]], *, confidence: float = 0.95
) -> Ratio:
    """Return the ratio of two Kaplan-Meier medians with a percentile bootstrap interval.

    Args:
        of: Per run a time, and whether the target was reached then; else it was not reached by
            then.
        to: The same of the method it is compared with.
        confidence: Nominal coverage of the interval.

    Returns:
        The ratio; infinite, or with an infinite upper end, where too many runs of ``of`` miss the
        target; NaN where those of ``to`` do. ``n`` is the smaller number of runs.
    """
    n = min(len(of), len(to))
    value = _median_of(of) / _median_of(to) if n and math.isfinite(_median_of(to)) else math.nan
    if n < 2 or math.isnan(value):
        return Ratio(n, value, math.nan, math.nan)
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    ratios = np.empty(RESAMPLES // 9)
    for i in range(len(ratios)):
        above, below = (
            [runs[j] for j in rng.integers(len(runs), size=len(runs))] for runs in (of, to)
        )
        with np.errstate(all="ignore"):
            ratios[i] = np.divide(_median_of(above), _median_of(below))
    ratios = np.sort(np.where(np.isnan(ratios), math.inf, ratios))
    tail = (1 - confidence) / 2
    low, high = (ratios[round(share * (len(ratios) - 1))] for share in (tail, 1 - tail))
    return Ratio(n, value, float(low), float(high))


def _median_of(runs: Sequence[tuple[float, bool]]) -> float:
    return _median([time for time, _ in runs], [not hit for _, hit in runs])


def _median(times: Sequence[float], censored: Sequence[bool]) -> float:
    """Kaplan-Meier median; a run that was stopped early still counts until it was stopped."""
    if all(censored):
        return math.inf
    hits = [time for time, missed in zip(times, censored, strict=True) if not missed]
    misses = [time for time, missed in zip(times, censored, strict=True) if missed]
    survival = stats.ecdf(stats.CensoredData(uncensored=hits, right=misses)).sf
    # 0.5 up to rounding: the product of the factors (1 - 1/at risk) is not exact.
    below = np.flatnonzero(survival.probabilities <= 0.5 + 1e-12)
    return float(survival.quantiles[below[0]]) if len(below) else math.inf
