"""Time to a target that was fixed beforehand; runs that miss it count as never reaching it.

A run that has ended without reaching the target, whether its budget was used up, it diverged or it
failed, is later than every run that reached it. It stays at risk for ever, so that a median is
infinite if fewer than half of the runs got there. Removing it at its end, as censoring does, would
make a method that diverges early look as fast as its lucky runs. Only a run that has not ended is
censored in that sense, since its result is not known yet.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from napts.analysis.columns import floats, split, texts
from napts.analysis.frames import SUMMED
from napts.analysis.labels import grouped
from napts.analysis.measured import is_rising
from napts.analysis.outcome import ENDED
from napts.analysis.statistics import CONFIDENCE, Ratio, interval_of_mean

CLOCKS = (
    *("epoch", "train_seconds_total", "cpu_seconds_total", "elapsed_seconds"),
    *("pass_equivalents_total", "backwards_total"),
    *("evaluations_total", *(f"{name}_total" for name in SUMMED)),
)
"""Columns of the epochs frame along which time may be measured; the last ones need counts."""


class Arrival(NamedTuple):
    """When a run reached a target.

    Attributes:
        time: When it did, or until when it is known not to have done so.
        reached: Whether it did.
        open: Whether it has not reached it yet and has not ended: it is censored.
    """

    time: float
    reached: bool
    open: bool = False


@dataclass(frozen=True)
class TimeToTarget:
    """How fast a method reaches a target over its seeds.

    Attributes:
        label: Label of the method.
        n: Number of runs.
        reached: Runs that reached the target.
        median: Median of the time, infinite if fewer than half of the runs reached the target;
            if runs have not ended, the Kaplan-Meier median, in which they count until now.
        times: For each run, in order of the seed, when it reached the target, or until when it is
            known not to have done so.
        censored: For each run, whether its time is the latter.
        open: For each run, whether it has not reached the target yet and has not ended.
    """

    label: str
    n: int
    reached: int
    median: float
    times: tuple[float, ...]
    censored: tuple[bool, ...]
    open: tuple[bool, ...]


def time_to_target(
    epochs: pd.DataFrame,
    metric: str,
    target: float,
    *,
    clock: str = "train_seconds_total",
    goal: Literal["min", "max"] | None = None,
) -> list[TimeToTarget]:
    """Measure when each run first meets a target at the end of an epoch.

    A run that meets it and diverges later has met it.

    Args:
        epochs: Frame of `epochs_frame`, of one section.
        metric: Column that should meet the target, for example ``"val_rmse"``.
        target: Value to meet, in the unit of the column.
        clock: One of `CLOCKS`.
        goal: ``"min"`` if the metric must fall to the target, ``"max"`` if it must rise to it; by
            default that of the metric used to compare the runs, and ``"min"`` for losses.

    Returns:
        One entry per label in the usual order.

    Raises:
        ValueError: Unknown metric or clock, or another metric without a goal.
    """
    if clock not in CLOCKS:
        raise ValueError(f"clock {clock!r} is not one of {', '.join(CLOCKS)}")
    if metric not in epochs.columns:
        raise ValueError(f"metric {metric!r} is not a column of the epochs frame")
    if clock not in epochs.columns:
        raise ValueError(f"clock {clock!r} is not a column of the epochs frame: no run counts it")
    rising = goal == "max" if goal else is_rising(epochs, metric)
    results = []
    for _, label, group in grouped(epochs):
        runs = split(group, "seed")
        found = [arrival(run, clock, metric, target, rising=rising) for run in runs]
        results.append(_aggregate(label, found))
    return results


def arrival(run: pd.DataFrame, clock: str, metric: str, target: float, *, rising: bool) -> Arrival:
    """Return when a run first met a target at the end of an epoch.

    Args:
        run: Its rows of the epochs frame.
        clock: Column along which time is measured.
        metric: Column that should meet the target.
        target: Value to meet.
        rising: Whether it must rise to the target rather than fall to it.
    """
    times, values = floats(run, clock), floats(run, metric)
    met = values >= target if rising else values <= target
    if met.any():
        return Arrival(float(times[met].min()), True)
    return Arrival(float(times.max()), False, texts(run, "state")[0] not in ENDED)


def _aggregate(label: str, found: Iterable[Arrival | tuple[float, bool]]) -> TimeToTarget:
    runs = _arrivals(found)
    return TimeToTarget(
        label,
        len(runs),
        sum(run.reached for run in runs),
        median_time(runs),
        tuple(run.time for run in runs),
        tuple(not run.reached for run in runs),
        tuple(run.open for run in runs),
    )


def _arrivals(found: Iterable[Arrival | tuple[float, bool]]) -> list[Arrival]:
    return [run if isinstance(run, Arrival) else Arrival(run[0], run[1]) for run in found]


def median_time(runs: Sequence[Arrival]) -> float:
    """Return the Kaplan-Meier median of the time to a target.

    Args:
        runs: The runs. One that ended without reaching the target is at risk for ever; one that
            has not ended is censored at its time.

    Returns:
        The first time by which half of the runs are estimated to be there; otherwise infinity.
    """
    times = np.array([run.time if run.reached or run.open else math.inf for run in runs])
    reached = np.array([run.reached for run in runs], dtype=bool)
    missing = 1.0
    for time in np.unique(times[reached]):
        hits = np.count_nonzero(times[reached] == time)
        missing *= 1 - hits / np.count_nonzero(times >= time)
        if missing <= 0.5 + 1e-12:  # up to rounding
            return float(time)
    return math.inf


def ratio_of_medians(
    of: Sequence[Arrival | tuple[float, bool]],
    to: Sequence[Arrival | tuple[float, bool]],
    *,
    confidence: float = CONFIDENCE,
) -> Ratio:
    """Return the ratio of two median times, with an interval from the ratios seed by seed.

    The interval is Student's for the mean of the logarithms of the ratios; if these are spread
    symmetrically, that mean is the logarithm of the ratio of the medians. Incomplete knowledge
    enters as far as it goes: a run that missed its target would have needed longer than it was
    observed, by an unknown factor, so its seed has only a smallest or a largest ratio; the other
    end is infinite or 0.

    Args:
        of: For each seed an `Arrival`, or its time and whether the target was reached.
        to: The same of the method it is compared with, for the same seeds in the same order.
        confidence: Nominal coverage of the interval.

    Returns:
        The ratio of the medians of `median_time`. It is 1 if both are 0, infinite if only that of
        ``to`` is 0 or only that of ``of`` is infinite, 0 if it is the other way round, NaN if both
        are infinite. The interval begins at 0, or ends at infinity, if some run leaves it open.

    Raises:
        ValueError: The two have different numbers of seeds.
    """
    if len(of) != len(to):
        raise ValueError(f"times must be paired by seed, got {len(of)} and {len(to)}")
    above, below = _arrivals(of), _arrivals(to)
    if not above:
        return Ratio(0, math.nan, math.nan, math.nan)
    value = _quotient(median_time(above), median_time(below), math.nan)
    pairs = list(zip(above, below, strict=True))
    least = [_quotient(a.time, b.time if b.reached else math.inf, 0.0) for a, b in pairs]
    most = [_quotient(a.time if a.reached else math.inf, b.time, math.inf) for a, b in pairs]
    low, _ = _interval_of_logarithms(least, confidence)
    _, high = _interval_of_logarithms(most, confidence)
    return Ratio(len(pairs), value, low, high)


def _quotient(above: float, below: float, of_infinities: float) -> float:
    if math.isinf(above) and math.isinf(below):
        return of_infinities
    if below == 0:
        return 1.0 if above == 0 else math.inf
    return above / below


def _interval_of_logarithms(ratios: list[float], confidence: float) -> tuple[float, float]:
    """Return the interval of a geometric mean: 0 or infinity if one of the ratios is that."""
    if len(ratios) < 2:
        return math.nan, math.nan
    if min(ratios) == max(ratios):
        return ratios[0], ratios[0]
    if min(ratios) == 0 or math.isinf(max(ratios)):
        return 0.0, math.inf
    low, high = interval_of_mean(np.log(ratios), confidence)
    return math.exp(low), math.exp(min(high, 700.0))
