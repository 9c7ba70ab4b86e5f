"""What multilevel training costs until it is where one level ends, seed by seed."""

import numpy as np
import pandas as pd

from napts.analysis import Collection, Table
from napts.analysis.columns import floats, split
from napts.analysis.labels import grouped
from napts.analysis.tables import MISSING
from napts.records import RecordError

COSTS = {"work_units_total": "work units", "cpu_seconds_total": "CPU time"}
REFERENCE = "TR order 2"


def level_ratio_table(collection: Collection, workload: str = "digits-resnet") -> Table:
    """Return work units and CPU time until the reference's loss at its end, over its own.

    Args:
        collection: The records.
        workload: Workload of a comparison with runs of the reference.

    Raises:
        RecordError: There is no such comparison, or more than one.
    """
    sections = [s for s in collection.of_kind("comparison") if s.workload == workload]
    if len(sections) != 1:
        raise RecordError(f"workload {workload}: found {len(sections)} comparisons, allowed: one")
    (section,) = sections
    runs = {label: split(group, "seed") for _, label, group in grouped(section.epochs)}
    if REFERENCE not in runs:
        raise RecordError(f"workload {workload}: no runs of {REFERENCE} to compare with")
    levels = {
        (r.label or r.method): r.spec["optimizer"].get("levels") or 1 for r in section.records
    }
    ends = [float(floats(run, "train_loss")[-1]) for run in runs[REFERENCE]]
    base = [_costs(run, end, 1) for run, end in zip(runs[REFERENCE], ends, strict=True)]
    rows = []
    for label, own in runs.items():
        found = [_costs(run, end, levels[label]) for run, end in zip(own, ends, strict=True)]
        for i, name in enumerate(COSTS.values()):
            ratios = [
                f"{f[i] / b[i]:.2f}" if f and b else MISSING
                for f, b in zip(found, base, strict=True)
            ]
            rows.append([label, name, str(len(own)), ", ".join(ratios)])
    return Table(
        f"Cost of the training loss of {REFERENCE} at its end, over its own, seed by seed",
        ["method", "cost", "n", "ratios"],
        rows,
        [
            f"Losses: {', '.join(f'{end:.3f}' for end in ends)}. {MISSING}: the run ended before. "
            "While an F-cycle trains a coarser network the loss is that network's, and does not "
            "count."
        ],
    )


def _costs(run: pd.DataFrame, target: float, levels: int) -> list[float] | None:
    """Return what a run has cost when the finest network had the target, None if it never did."""
    counted = floats(run, "train_loss") <= target
    if levels > 1:
        counted &= floats(run, f"work_level_{levels}") > 0.0
    there = np.flatnonzero(counted)
    return [float(floats(run, name)[there[0]]) for name in COSTS] if len(there) else None
