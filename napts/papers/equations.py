"""Tables of methods for differential equations: the best error, and what it has cost."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from napts.analysis import Section
from napts.analysis.columns import floats, split, texts
from napts.analysis.labels import grouped
from napts.analysis.outcome import ENDED_BADLY
from napts.analysis.tables import MISSING, Table, number
from napts.papers.figures.equations import COUNTS, has_counts, with_iterations

CLOCKS = {**COUNTS, "update_cost_total": "update cost", "train_seconds_total": "s"}
"""Columns of the epochs frame, and of the table."""


def equation_tables(section: Section) -> Sequence[Table]:
    """Return the best error of each method and what it had cost until then."""
    if not has_counts(section):
        return []
    frame, metric = with_iterations(section.epochs), section.metric
    rows = [
        [label, *_cells(group, metric.column("val"), rising=metric.goal == "max")]
        for _, label, group in grouped(frame)
    ]
    return [
        Table(
            f"Best {metric.label} and its cost",
            ["method", "runs", f"best {metric.label}", *CLOCKS.values(), "in all"],
            rows,
            [
                "Medians over the runs of the best iterate that was evaluated, for every method "
                "alike, and of what had been spent until then; in all: gradients of the whole run. "
                "Gradients: all of them, those of line searches too; without searches: the "
                "convention of the authors of ASPQN; in parallel: those that need not wait for one "
                "another count once. A run that ended badly has no best iterate."
            ],
        )
    ]


def _cells(group: pd.DataFrame, error: str, *, rising: bool) -> list[str]:
    runs = split(group, "seed")
    well = [run for run in runs if texts(run, "state")[0] not in ENDED_BADLY]
    best = [found for run in well if (found := _best(run, error, rising=rising)) is not None]
    if len(best) <= len(runs) / 2:  # the median is that of a run that ended badly
        return [f"{len(best)}/{len(runs)}", *[MISSING] * (2 + len(CLOCKS))]
    medians = {name: float(np.median([row[name] for row in best])) for name in best[0]}
    return [f"{len(best)}/{len(runs)}", *(_shown(medians[name]) for name in medians)]


def _best(run: pd.DataFrame, error: str, *, rising: bool) -> dict[str, float] | None:
    """Return the best value of a run and its costs until then, and all its gradients."""
    values = floats(run, error)
    if not np.isfinite(values).any():
        return None
    row = int(np.nanargmax(values) if rising else np.nanargmin(values))
    costs = {name: float(floats(run, name)[row]) for name in CLOCKS if name in run}
    return {error: float(values[row]), **costs, "all": float(floats(run, "backwards_total").max())}


def _shown(value: float) -> str:
    return number(value) if np.isfinite(value) else MISSING
