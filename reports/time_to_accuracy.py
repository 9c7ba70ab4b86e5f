"""Print what methods cost until they reach a validation accuracy, and how they end.

Usage: python reports/time_to_accuracy.py RECORDS WORKLOAD TARGET [RIVAL ...]

One line for each label: epochs, CPU seconds of training and forward+backward equivalents until the
target (Kaplan-Meier median over the seeds; runs that miss it are censored), the ratio of those CPU
seconds to each rival's, paired by seed over the seeds where both reach it, with a 95 % bootstrap
interval, and the accuracy at the end, mean [min, max].
"""

import math
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from napts.analysis import load_collection, paired_ratio, summarise, time_to_target

CLOCKS = {"epoch": "epochs", "cpu_seconds_total": "CPU s", "pass_equivalents_total": "passes"}


def main(records: Path, workload: str, target: float, rivals: Sequence[str]) -> None:
    """Print the table for the sections of a workload, all taken together."""
    sections = [s for s in load_collection(records).sections if s.workload == workload]
    epochs = pd.concat([section.epochs for section in sections])
    found = {c: time_to_target(epochs, "val_accuracy", target, clock=c) for c in CLOCKS}
    seeds = {str(label): sorted(runs["seed"].unique()) for label, runs in epochs.groupby("label")}
    final = epochs[epochs["epoch"] == epochs.groupby(["label", "seed"])["epoch"].transform("max")]
    header = ["method", "n", "reached", *CLOCKS.values(), *(f"CPU s vs {r}" for r in rivals)]
    print("| " + " | ".join([*header, "final accuracy %"]) + " |")
    print("|---|" + "---:|" * len(header))
    reached = {
        each.label: {
            seed: time
            for seed, time, missed in zip(seeds[each.label], each.times, each.censored, strict=True)
            if not missed
        }
        for each in found["cpu_seconds_total"]
    }
    for rows in zip(*found.values(), strict=True):
        label = rows[0].label
        cells = [label, str(rows[0].n), str(rows[0].reached), *(_shown(r.median) for r in rows)]
        cells += [_ratio(reached, label, rival) for rival in rivals]
        accuracy = summarise((100 * final[final["label"] == label]["val_accuracy"]).tolist())
        end = f"{accuracy.mean:.2f} [{accuracy.minimum:.2f}, {accuracy.maximum:.2f}]"
        print("| " + " | ".join([*cells, end]) + " |")


def _shown(median: float) -> str:
    return "missed" if math.isinf(median) else f"{median:.3g}"


def _ratio(reached: dict[str, dict[int, float]], label: str, rival: str) -> str:
    if label == rival or not set(reached[label]) & set(reached.get(rival, {})):
        return "–"
    ratio = paired_ratio(reached[label], reached[rival])
    return f"{ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}] (n = {ratio.n})"


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), sys.argv[4:])
