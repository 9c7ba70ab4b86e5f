"""Time to a target that was fixed beforehand, with runs that miss it counted as censored."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from napts.analysis.labels import grouped

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
