"""Tables of multilevel training: the cost of reaching a loss, by every count."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from napts.analysis import Section
from napts.analysis.columns import floats, split, texts
from napts.analysis.labels import grouped
from napts.analysis.outcome import ENDED_BADLY
from napts.analysis.tables import Table, median_of
from napts.analysis.target import arrival
from napts.records.metric import Metric

TARGETS: Mapping[Metric, tuple[float, ...]] = {
    Metric("accuracy", "max", fraction=True): (0.5, 0.1, 0.05),
    Metric("r2", "max"): (0.1, 0.03, 0.01),
}
"""Training losses, including the penalty, by the metric of the problem. Ours."""

COUNTS = {
    "work_units_total": "work units",
    "backwards_total": "gradients by operations",
    "pass_equivalents_total": "passes",
    "epoch": "epochs",
    "train_seconds_total": "s",
}
"""Columns of the epochs frame, and of the table."""

_NOTES = (
    'Median [smallest, largest] over the runs that get there, by the loss before a step; "not '
    'reached" where fewer than half do. A work unit is a gradient of the whole network on all '
    "samples; one of a shallower network counts by its share of the blocks, or by that of the "
    "operations. Passes have the forward passes of trials in them. The loss of an F-cycle is that "
    "of the network that it trains then, a shallower one at first.",
)


def has_levels(section: Section) -> bool:
    """Tell whether some run of a section counts work by levels."""
    return "work_units_total" in section.epochs


def level_tables(section: Section) -> Sequence[Table]:
    """Return the cost of each target."""
    if not has_levels(section):
        return []
    targets = TARGETS.get(section.metric, ())
    return [_cost_table(section.epochs, target) for target in targets]


def _cost_table(frame: pd.DataFrame, target: float) -> Table:
    rows = [[label, *_cells(group, target)] for _, label, group in grouped(frame)]
    return Table(
        f"Cost of a training loss of {target:g}",
        ["method", "reached", *COUNTS.values()],
        rows,
        _NOTES,
    )


def _cells(group: pd.DataFrame, target: float) -> list[str]:
    runs = split(group, "seed")
    found = [costs for run in runs if (costs := _costs(run, target)) is not None]
    cells = [f"{len(found)}/{len(runs)}"]
    if 2 * len(found) < len(runs) or not found:
        return [*cells, *["not reached"] * len(COUNTS)]
    return [*cells, *(median_of([costs[name] for costs in found], len(runs)) for name in COUNTS)]


def _costs(run: pd.DataFrame, target: float) -> dict[str, float] | None:
    """Return what a run had spent when it got there; ``None`` if it never did."""
    there = arrival(run, "epoch", "train_loss", target, rising=False)
    if not there.reached or texts(run, "state")[0] in ENDED_BADLY:
        return None
    row = int(np.flatnonzero(floats(run, "epoch") == there.time)[0])
    return {name: float(floats(run, name)[row]) for name in COUNTS}
