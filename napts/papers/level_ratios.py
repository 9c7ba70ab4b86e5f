"""What multilevel training costs to get to where one level ends, seed by seed."""

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
    runs = {
        label: {int(run["seed"].iloc[0]): run for run in split(group, "seed")}
        for _, label, group in grouped(section.epochs)
    }
    if REFERENCE not in runs:
        raise RecordError(f"workload {workload}: no runs of {REFERENCE} to compare with")
    if absent := [name for name in COSTS if name not in section.epochs]:
        raise RecordError(f"workload {workload}: no {COSTS[absent[0]]} in the records")
    levels = {
        (r.label or r.method): r.spec["optimizer"].get("levels") or 1 for r in section.records
    }
    ends = {seed: float(floats(run, "train_loss")[-1]) for seed, run in runs[REFERENCE].items()}
    base = {seed: _costs(runs[REFERENCE][seed], end, 1) for seed, end in ends.items()}
    rows = []
    for label, own in runs.items():
        found = {
            seed: _costs(own[seed], end, levels[label]) for seed, end in ends.items() if seed in own
        }
        for i, name in enumerate(COSTS.values()):
            ratios = [_ratio(found.get(seed), reference, i) for seed, reference in base.items()]
            rows.append([label, name, str(len(found)), ", ".join(ratios)])
    return Table(
        f"Cost of the training loss of {REFERENCE} at its end, over its own, seed by seed",
        ["method", "cost", "n", "ratios"],
        rows,
        [
            f"Losses: {', '.join(f'{end:.3f}' for end in ends.values())}, with the seeds "
            f"{', '.join(map(str, ends))}. {MISSING}: the run ended before, or there is none. "
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


def _ratio(of: list[float] | None, to: list[float] | None, place: int) -> str:
    return f"{of[place] / to[place]:.2f}" if of and to else MISSING
