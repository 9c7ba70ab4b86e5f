"""Performance profiles over seeds and targets: how often a method is within a factor of the best.

These follow Dolan and Moré (2002), with runs in place of solvers' calls. A problem is a seed
together with a target of the metric; its cost is the time until the target is met. Runs that miss
it never solve it, whether they ended well or badly. A problem that no run solves counts for all;
one that a run may still solve, because it has not ended, is left out.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pandas as pd

from napts.analysis.columns import Floats, floats, rows_where, split, texts
from napts.analysis.labels import grouped
from napts.analysis.measured import metric_of
from napts.analysis.outcome import ENDED, ENDED_BADLY
from napts.records.metric import Metric

Key = TypeVar("Key", bound=Hashable)

SHARES = (0.5, 0.65, 0.8, 0.9, 0.95)
"""Targets as shares of the way from the start of training to the best method's end."""


@dataclass(frozen=True)
class Profile:
    """The performance profile of a method.

    Attributes:
        label: Label of the method.
        factors: Sorted factors of the best time at which the share of solved problems rises.
        solved: That share after each factor.
        problems: Number of problems.
    """

    label: str
    factors: Floats
    solved: Floats
    problems: int


def targets(epochs: pd.DataFrame, shares: Sequence[float] = SHARES) -> list[float]:
    """Return targets of one section's metric, from what its best method reaches.

    Args:
        epochs: Frame of `epochs_frame`, of one section.
        shares: Shares of the way from the start (see `starts_late`) to the best final mean, in
            which a run that ended badly has the metric's worst value.
    """
    metric = metric_of(epochs)
    finals = []
    for _, _, group in grouped(epochs):
        lasts = [_last(run, metric) for run in split(group, "seed")]
        finals.append(metric.score(float(np.mean(lasts))))
    best = metric.score(max((s for s in finals if np.isfinite(s)), default=math.nan))
    start = _start(epochs, metric, best)
    end = start if math.isnan(best) else best
    return [start + share * (end - start) for share in shares]


def _start(epochs: pd.DataFrame, metric: Metric, best: float) -> float:
    """Return where the way to the targets starts."""
    early = _after(epochs, 1, metric) if starts_late(metric) else np.array([])
    if len(early) and metric.better(best, start := float(np.median(early))):
        return start
    untrained = _after(epochs, 0, metric)
    return float(np.mean(untrained)) if len(untrained) else math.nan


def starts_late(metric: Metric) -> bool:
    """Tell whether the way to the targets starts after the first epoch, at the median of all runs.

    An untrained network guesses, and the way of a fraction starts there. The values of other
    metrics before training are arbitrary, and may be so bad that all targets are met at once. If
    the best method ends no better than that median, the way nevertheless starts before training.
    """
    return not metric.fraction


def _after(epochs: pd.DataFrame, epoch: int, metric: Metric) -> Floats:
    """Return the finite values of the metric after an epoch."""
    values = floats(rows_where(epochs, floats(epochs, "epoch") == epoch), metric.column("val"))
    return values[np.isfinite(values)]


def _last(run: pd.DataFrame, metric: Metric) -> float:
    if texts(run, "state")[0] in ENDED_BADLY:
        return metric.worst
    return float(floats(run, metric.column("val"))[-1])


def times_to(
    epochs: pd.DataFrame, wanted: Sequence[float], clock: str = "cpu_seconds_total"
) -> dict[str, dict[tuple[int, float], float]]:
    """Return for every label when each seed met each target.

    Args:
        epochs: Frame of `epochs_frame`, of one section.
        wanted: Targets, values of the metric used to compare the runs.
        clock: Column that measures time.

    Returns:
        The time by label, seed and target; infinite if a run ended without meeting it, NaN if it
        has not met it yet.
    """
    found: dict[str, dict[tuple[int, float], float]] = {}
    metric = metric_of(epochs)
    sign = metric.score(1.0)
    for _, label, group in grouped(epochs):
        times = found[label] = {}
        for run in split(group, "seed"):
            scores, clocks = sign * floats(run, metric.column("val")), floats(run, clock)
            never = np.inf if texts(run, "state")[0] in ENDED else np.nan
            for target in wanted:
                met = clocks[scores >= sign * target]
                times[int(run["seed"].iloc[0]), target] = float(met.min()) if len(met) else never
    return found


def performance_profiles(
    epochs: pd.DataFrame, wanted: Sequence[float], clock: str = "cpu_seconds_total"
) -> list[Profile]:
    """Return the profile of every method over the seeds that all have.

    Args:
        epochs: Frame of `epochs_frame`, of one section.
        wanted: Targets, values of the metric by which the runs are compared.
        clock: Column that measures time.

    Returns:
        One profile per label in the usual order; none if no seed is shared or no problem is solved.
    """
    return profiles_of(times_to(epochs, wanted, clock))


def profiles_of(times: Mapping[str, Mapping[Key, float]]) -> list[Profile]:
    """Return the profile of every method over the problems that all have.

    Args:
        times: For each label the time at which each problem was solved; infinite if it was not,
            NaN if that is not known yet.

    Returns:
        One profile per label, in the given order; none if no problem is shared or solved.
    """
    each = list(times.values())
    shared = [key for key in each[0] if all(key in by for by in each)] if each else []
    # The smallest is NaN if one of them is; what is met before training tells nothing.
    best = {p: float(np.min([by[p] for by in times.values()])) for p in shared}
    problems = [p for p in shared if best[p] > 0]
    if not any(np.isfinite(best[p]) for p in problems):
        return []
    profiles = []
    for label, by in times.items():
        ratios = np.sort([by[p] / best[p] for p in problems if np.isfinite(best[p])])
        ratios = ratios[np.isfinite(ratios)]
        solved = np.arange(1, len(ratios) + 1) / len(problems)
        profiles.append(Profile(label, ratios, solved, len(problems)))
    return profiles
