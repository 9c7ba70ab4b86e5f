"""What multilevel training costs until it is where one level ends, seed by seed.

Usage: python reports/level_ratios.py reports/records [WORKLOAD]

Work units and CPU time until the training loss of TR of order 2 at its end, over those of TR; "-"
where a run ended before. While an F-cycle trains a coarser network the loss is that network's, and
does not count.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from napts.analysis import load_collection
from napts.analysis.columns import floats, split
from napts.analysis.labels import grouped

COSTS = {"work_units_total": "work units", "cpu_seconds_total": "CPU time"}
REFERENCE = "TR order 2"


def costs(run: pd.DataFrame, target: float, levels: int) -> list[float] | None:
    """Return what a run has cost when the finest network had the target, None if it never did."""
    counted = floats(run, "train_loss") <= target
    if levels > 1:
        counted &= floats(run, f"work_level_{levels}") > 0.0
    there = np.flatnonzero(counted)
    return [float(floats(run, name)[there[0]]) for name in COSTS] if len(there) else None


def main() -> None:
    """Print a line for each method."""
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    workload = sys.argv[2] if len(sys.argv) == 3 else "digits-resnet"
    sections = load_collection(Path(sys.argv[1])).of_kind("comparison")
    (section,) = (s for s in sections if s.workload == workload)
    runs = {label: split(group, "seed") for _, label, group in grouped(section.epochs)}
    levels = {
        (r.label or r.method): r.spec["optimizer"].get("levels") or 1 for r in section.records
    }
    ends = [float(floats(run, "train_loss")[-1]) for run in runs[REFERENCE]]
    base = [costs(run, end, 1) for run, end in zip(runs[REFERENCE], ends, strict=True)]
    print("until losses of", ", ".join(f"{end:.3f}" for end in ends))
    for label, own in runs.items():
        found = [costs(run, end, levels[label]) for run, end in zip(own, ends, strict=True)]
        for i, name in enumerate(COSTS.values()):
            shown = (
                f"{f[i] / b[i]:.2f}" if f and b else "-" for f, b in zip(found, base, strict=True)
            )
            print(f"{label:24} {name:10} {', '.join(shown)}")


if __name__ == "__main__":
    main()
