"""Performance profiles over seeds and targets: who is how often within which factor of the best.

Dolan and Moré (2002), with runs in place of solvers' calls: a problem is a seed together with a
target accuracy, its cost the time until the target is met. Runs that miss it never solve it,
whether they ended well or badly. A problem that nobody solves counts for all; one that some run may
yet solve, because it has not ended, is left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from napts.analysis.columns import Floats, floats, rows_where, split, texts
from napts.analysis.labels import grouped
from napts.analysis.outcome import ENDED, ENDED_BADLY, worst

SHARES = (0.5, 0.65, 0.8, 0.9, 0.95)
"""Targets as shares of the way from guessing to the best method's final accuracy."""


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
    """Return target accuracies of one section, from what its best method reaches.

    Args:
        epochs: Frame of `epochs_frame`, of one section.
        shares: Shares of the way from the accuracy before training to the best final mean, in
            which a run that ended badly has an accuracy of 0.
    """
    untrained = rows_where(epochs, floats(epochs, "epoch") == 0)
    start = float(np.nanmean(floats(untrained, "val_accuracy")))
    finals = []
    for _, _, group in grouped(epochs):
        lasts = [_last(run) for run in split(group, "seed")]
        finals.append(float(np.mean(lasts)))
    best = max((value for value in finals if np.isfinite(value)), default=start)
    return [start + share * (best - start) for share in shares]


def _last(run: pd.DataFrame) -> float:
    if texts(run, "state")[0] in ENDED_BADLY:
        return worst("val_accuracy")
    return float(floats(run, "val_accuracy")[-1])


def times_to(
    epochs: pd.DataFrame, wanted: Sequence[float], clock: str = "cpu_seconds_total"
) -> dict[str, dict[tuple[int, float], float]]:
    """Return for every label when each seed met each target.

    Args:
        epochs: Frame of `epochs_frame`, of one section.
        wanted: Target accuracies.
        clock: Column that measures time.

    Returns:
        By label, seed and target the time; infinite where a run ended without meeting it, NaN
        where it did not meet it yet.
    """
    found: dict[str, dict[tuple[int, float], float]] = {}
    for _, label, group in grouped(epochs):
        times = found[label] = {}
        for run in split(group, "seed"):
            accuracy, clocks = floats(run, "val_accuracy"), floats(run, clock)
            never = np.inf if texts(run, "state")[0] in ENDED else np.nan
            for target in wanted:
                met = clocks[accuracy >= target]
                times[int(run["seed"].iloc[0]), target] = float(met.min()) if len(met) else never
    return found


def performance_profiles(
    epochs: pd.DataFrame, wanted: Sequence[float], clock: str = "cpu_seconds_total"
) -> list[Profile]:
    """Return the profile of every method over the seeds that all have.

    Args:
        epochs: Frame of `epochs_frame`, of one section.
        wanted: Target accuracies.
        clock: Column that measures time.

    Returns:
        One profile per label in the usual order; none if no seed is shared, or no problem solved.
    """
    times = times_to(epochs, wanted, clock)
    shared = sorted(set.intersection(*(set(by) for by in times.values()))) if times else []
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
