"""Print what methods cost until they reach an accuracy, or another metric, and how they end.

Usage: python reports/time_to_accuracy.py RECORDS WORKLOAD TARGET [RIVAL ...]

One line for each label: epochs, CPU seconds of training and forward+backward equivalents until the
target (median over the seeds; runs that miss it are later than all others), the ratio of that
median of CPU seconds to each rival's with a 95 % interval, paired by seed and unbounded where one
of the two misses the target with some seed, and the metric at the end, mean [min, max]; a run that
failed or diverged ends with the worst that it can be, an accuracy of 0.

The metric is the one by which the runs are compared, on validation data, in its direction.
"""

import math
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from napts.analysis import load_collection, summarise, time_to_target
from napts.analysis.columns import floats, rows_where, rows_with
from napts.analysis.measured import metric_of
from napts.analysis.outcome import by_outcome
from napts.analysis.tables import number
from napts.analysis.target import Arrival, ratio_of_medians

CLOCKS = {"epoch": "epochs", "cpu_seconds_total": "CPU s", "pass_equivalents_total": "passes"}


def main(records: Path, workload: str, target: float, rivals: Sequence[str]) -> None:
    """Print the table for the sections of a workload, all taken together."""
    sections = [s for s in load_collection(records).sections if s.workload == workload]
    epochs = pd.concat([section.epochs for section in sections])
    metric = metric_of(epochs)
    column = metric.column("val")
    found = {c: time_to_target(epochs, column, target, clock=c) for c in CLOCKS}
    seeds = {str(label): sorted(runs["seed"].unique()) for label, runs in epochs.groupby("label")}
    last = epochs.groupby(["label", "seed"])["epoch"].transform("max").to_numpy()
    final = rows_where(epochs, floats(epochs, "epoch") == last)
    header = ["method", "n", "reached", *CLOCKS.values(), *(f"CPU s vs {r}" for r in rivals)]
    print("| " + " | ".join([*header, f"final {metric.heading}"]) + " |")
    print("|---|" + "---:|" * len(header))
    arrivals = {
        each.label: {
            seed: Arrival(time, not missed, still_open)
            for seed, time, missed, still_open in zip(
                seeds[each.label], each.times, each.censored, each.open, strict=True
            )
        }
        for each in found["cpu_seconds_total"]
    }
    for rows in zip(*found.values(), strict=True):
        label = rows[0].label
        cells = [label, str(rows[0].n), str(rows[0].reached), *(_shown(r.median) for r in rows)]
        cells += [_ratio(arrivals, label, rival) for rival in rivals]
        ends = by_outcome(rows_with(final, "label", [label]), column)
        summary = summarise([metric.scale * end for end in ends])
        form = ".2f" if metric.fraction else ".4g"
        mean, low, high = (
            format(value, form) for value in (summary.mean, summary.minimum, summary.maximum)
        )
        end = f"{mean} [{low}, {high}]"
        print("| " + " | ".join([*cells, end]) + " |")


def _shown(median: float) -> str:
    return "missed" if math.isinf(median) else f"{median:.3g}"


def _ratio(arrivals: dict[str, dict[int, Arrival]], label: str, rival: str) -> str:
    if label == rival or rival not in arrivals:
        return "–"
    of, to = arrivals[label], arrivals[rival]
    seeds = sorted(set(of) & set(to))
    found = ratio_of_medians([of[seed] for seed in seeds], [to[seed] for seed in seeds])
    value, low, high = (number(end, places=2) for end in (found.value, found.low, found.high))
    return f"{value} [{low}, {high}] (n = {found.n})"


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), sys.argv[4:])
