"""What methods cost until they reach a value of the metric, and how they end."""

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from napts.analysis.collection import Collection
from napts.analysis.columns import floats, rows_where, rows_with
from napts.analysis.measured import metric_of
from napts.analysis.outcome import by_outcome
from napts.analysis.statistics import summarise
from napts.analysis.tables import MISSING, Table, bracketed, two_places
from napts.analysis.target import Arrival, TimeToTarget, ratio_of_medians, time_to_target
from napts.records import RecordError

CLOCKS = {"epoch": "epochs", "cpu_seconds_total": "CPU s", "pass_equivalents_total": "passes"}

_NOTES = (
    "Median [smallest, largest] over the seeds; a run that misses the target is later than all "
    "others, and not in the range. Ratios of the "
    "medians with 95 % intervals, paired by seed, unbounded where one of the two misses the target "
    "with some seed. The end: mean [min, max]; a run that failed or diverged ends with the worst "
    "that it can be.",
)


def reaching_table(
    collection: Collection, workload: str, target: float, rivals: Sequence[str] = ()
) -> Table:
    """Return what each method costs until it reaches a value, with ratios to rivals.

    Args:
        collection: The records, with one comparison on the workload.
        workload: Name of the workload.
        target: Value of the metric by which the runs are compared, on validation data.
        rivals: Labels to which the CPU seconds are put in relation.

    Raises:
        RecordError: There is no such comparison, or more than one; a rival has no runs; the value
            is not finite.
    """
    if not math.isfinite(target):
        raise RecordError(f"target: found {target}, allowed: a finite number")
    comparisons = collection.of_kind("comparison")
    sections = [s for s in comparisons if s.workload == workload]
    if not sections:
        known = ", ".join(sorted({s.workload for s in comparisons}))
        raise RecordError(f"workload {workload}: no comparison on it, but on {known}")
    if len(sections) > 1:
        names = ", ".join(section.experiment for section in sections)
        raise RecordError(f"workload {workload}: found {names}, allowed: records of one of them")
    epochs = sections[0].epochs
    labels = [str(label) for label in epochs["label"].unique()]
    if missing := [rival for rival in rivals if rival not in labels]:
        raise RecordError(f"rival {missing[0]}: no runs of it, but of {', '.join(labels)}")
    metric = metric_of(epochs)
    column = metric.column("val")
    found = {c: time_to_target(epochs, column, target, clock=c) for c in CLOCKS}
    seeds = {str(label): sorted(runs["seed"].unique()) for label, runs in epochs.groupby("label")}
    arrivals = {
        each.label: {
            seed: Arrival(time, not missed, still_open)
            for seed, time, missed, still_open in zip(
                seeds[each.label], each.times, each.censored, each.open, strict=True
            )
        }
        for each in found["cpu_seconds_total"]
    }
    rows = [
        [
            each[0].label,
            str(each[0].n),
            str(each[0].reached),
            *map(_shown, each),
            *(_ratio(arrivals, each[0].label, rival) for rival in rivals),
            _end(epochs, each[0].label),
        ]
        for each in zip(*found.values(), strict=True)
    ]
    columns = ["method", "n", "reached", *CLOCKS.values(), *(f"CPU s vs {r}" for r in rivals)]
    title = f"Cost of a validation {metric.label} of {target:g} on {workload}"
    return Table(title, [*columns, f"final {metric.heading}"], rows, _NOTES)


def _shown(found: TimeToTarget) -> str:
    if math.isinf(found.median):
        return "missed"
    times = [t for t, missed in zip(found.times, found.censored, strict=True) if not missed]
    return bracketed(found.median, min(times), max(times))


def _end(epochs: pd.DataFrame, label: str) -> str:
    """Return the metric at the end, mean [min, max]."""
    metric = metric_of(epochs)
    runs = rows_with(epochs, "label", [label])
    last = runs.groupby("seed")["epoch"].transform("max").to_numpy()
    ends = by_outcome(rows_where(runs, floats(runs, "epoch") == last), metric.column("val"))
    summary = summarise([metric.scale * end for end in ends])
    form = ".2f" if metric.fraction else ".4g"
    mean, low, high = (
        format(value, form) for value in (summary.mean, summary.minimum, summary.maximum)
    )
    return f"{mean} [{low}, {high}]"


def _ratio(arrivals: Mapping[str, Mapping[int, Arrival]], label: str, rival: str) -> str:
    if label == rival:
        return MISSING
    of, to = arrivals[label], arrivals[rival]
    seeds = sorted(set(of) & set(to))
    if not seeds:
        return MISSING
    found = ratio_of_medians([of[seed] for seed in seeds], [to[seed] for seed in seeds])
    value, low, high = map(two_places, (found.value, found.low, found.high))
    return f"{value} [{low}, {high}] (n = {found.n})"
