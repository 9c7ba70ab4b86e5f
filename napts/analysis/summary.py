"""The comparison of methods on one workload, as numbers and as tables for people.

The final values of a run that ended badly count as the worst; see `napts.analysis.outcome`. The
cost of its epochs was measured until then and is reported as measured; in claims, which compare
methods by their costs, it counts as the worst too.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from napts.analysis.all_metrics import metrics_table, other_ends
from napts.analysis.columns import floats, rows_with
from napts.analysis.frames import LIMITS, TARGET_COSTS
from napts.analysis.labels import grouped
from napts.analysis.looks import REFERENCES
from napts.analysis.measured import metric_of
from napts.analysis.outcome import by_outcome
from napts.analysis.sharing import sharing
from napts.analysis.statistics import paired_ratio, summarise
from napts.analysis.tables import (
    MISSING,
    SINGLE,
    Table,
    bracketed,
    form_of,
    number,
    spread,
    two_places,
)
from napts.records.metric import LOSS, Metric
from napts.registry import Registry

QUANTITIES = (
    "seconds_per_epoch",
    "cpu_seconds_per_epoch",
    "rejections_per_batch",
    "rejections_proposal_per_batch",
    "rejections_correction_per_batch",
    "rejections_global_per_batch",
    "forwards_per_batch",
    "backwards_per_batch",
    "local_passes_per_batch",
    "pass_equivalents_per_batch",
    "acceptance_rate",
    "nonmonotone_rate",
)
"""Columns of the runs frame that are summarised over seeds, in addition to those of `ends`."""

STATISTICS = ("mean", "min", "max", "low", "high", "n")
"""What is given for each quantity; low and high are the ends of the 95 % interval."""

COMPARISON_TABLES: Registry[Callable[[pd.DataFrame, pd.DataFrame], Table | None]] = Registry(
    "tables"
)
"""Further tables of a comparison, from the frame of its runs and that of `comparison`; None if
there is nothing to say."""


def ends(metric: Metric) -> tuple[str, ...]:
    """Return the columns of the runs frame with final values, which are summarised too.

    Args:
        metric: The metric used to compare the runs.
    """
    parts = (("val_loss", metric.column("val")), ("test_loss", metric.column("test")))
    names = ("train_loss", *(name for part in parts for name in part))
    return tuple(f"final_{name}" for name in dict.fromkeys(names))


def comparison(runs: pd.DataFrame) -> pd.DataFrame:
    """Summarise every method of one section over its seeds.

    Args:
        runs: Frame of `runs_frame`, of one experiment and workload.

    Returns:
        One row per label in the usual order with the columns ``label``, ``method``, ``n`` (runs),
        one count per state (``done``, ``running``, ``interrupted``, ``failed``, ``diverged``),
        ``<quantity>_<statistic>`` for `QUANTITIES`, `ends`, the ends of other metrics where runs
        have some (over those that are done), the costs of a target where runs have one, and
        `STATISTICS`, and ``time_vs_<reference>`` with ``_low``, ``_high`` and ``_n`` (shared
        seeds).
    """
    targets, outcomes = [name for name in TARGET_COSTS if name in runs], ends(metric_of(runs))
    groups, others = grouped(runs), other_ends(runs)
    times = {label: _by_seed(group, "seconds_per_epoch") for _, label, group in groups}
    references = {name: _reference(name, runs) for name in REFERENCES}
    rows = []
    for method, label, group in groups:
        row: dict[str, object] = {"label": label, "method": method, "n": len(group)}
        row |= _states(group)
        for quantity in QUANTITIES:
            row |= _summary(quantity, group[quantity].tolist())
        for quantity in outcomes:
            row |= _summary(quantity, by_outcome(group, quantity))
        for quantity in (*others, *targets):
            row |= _summary(quantity, group[quantity].tolist())
        for name, reference in references.items():
            row |= _relation(name, times[label], times.get(reference or "", {}))
        rows.append(row)
    return pd.DataFrame(rows)


def _states(group: pd.DataFrame) -> dict[str, object]:
    states = ("done", "running", "interrupted", "failed", "diverged")
    return {state: group["state"].tolist().count(state) for state in states}


def _summary(quantity: str, outcomes: list[float]) -> dict[str, object]:
    summary = summarise(outcomes)
    values = (
        summary.mean,
        summary.minimum,
        summary.maximum,
        summary.low,
        summary.high,
        summary.n,
    )
    return {f"{quantity}_{name}": value for name, value in zip(STATISTICS, values, strict=True)}


def _by_seed(group: pd.DataFrame, quantity: str) -> dict[int, float]:
    return dict(zip(group["seed"].tolist(), group[quantity].tolist(), strict=True))


def _reference(name: str, runs: pd.DataFrame) -> str | None:
    """Label that represents a method: its own name, or its only variant."""
    labels = runs.loc[runs["method"] == name, "label"].unique().tolist()
    return name if name in labels else labels[0] if len(labels) == 1 else None


def _relation(
    name: str, times: Mapping[int, float], reference: Mapping[int, float]
) -> dict[str, object]:
    ratio = paired_ratio(times, reference)
    column = f"time_vs_{name}"
    return {
        column: ratio.value,
        f"{column}_low": ratio.low,
        f"{column}_high": ratio.high,
        f"{column}_n": ratio.n,
    }


def comparison_tables(runs: pd.DataFrame) -> list[Table]:
    """Arrange the comparison of one section in tables that fit a terminal of about 80 columns.

    Args:
        runs: Frame of `runs_frame`, of one experiment and workload.

    Returns:
        Time per epoch, rejections and work per batch, outcome; all metrics and the cost of the
        target where runs have them; and what `COMPARISON_TABLES` add.
    """
    frame = comparison(runs)
    notes = _notes(runs)
    shared = sharing_notes(runs)
    times, ratios = _time_table(frame, shared), _ratio_table(frame, shared)
    tables = [times, *([] if ratios is None else [ratios]), *_work_tables(frame)]
    tables.append(_outcome_table(frame, metric_of(runs), notes))
    every = metrics_table(runs, frame)
    tables += [] if every is None else [every]
    if "target" in runs:
        tables.append(_target_table(runs, frame))
    further = (table(runs, frame) for table in COMPARISON_TABLES.values())
    return tables + [table for table in further if table is not None]


def sharing_notes(runs: pd.DataFrame) -> list[str]:
    """Say that seconds are not times of the methods if runs shared a GPU.

    Args:
        runs: Frame of `runs_frame`.

    Returns:
        One sentence, or none.
    """
    shared = sharing(runs)
    if not shared:
        return []
    return [
        f"{shared} of {len(runs)} runs shared a GPU with others of them: their seconds, those of "
        "the CPU included, hold the work of the others too and are no times of the methods."
    ]


def _time_table(frame: pd.DataFrame, notes: list[str]) -> Table:
    rows = [
        [
            row["label"],
            str(row["n"]),
            spread(row, "seconds_per_epoch", number),
            spread(row, "cpu_seconds_per_epoch", number),
        ]
        for row in frame.to_dict("records")
    ]
    return Table(
        "Time per epoch",
        ["method", "n", "s/epoch", "CPU s/epoch"],
        rows,
        [
            "Training only, without evaluation, checkpoints and logging; mean [min, max] over "
            "the n runs of each run's median epoch, the first epoch left out where there are more "
            f"than two. {SINGLE}",
            *notes,
        ],
    )


def _ratio_table(frame: pd.DataFrame, notes: list[str]) -> Table | None:
    """Return the times in relation to those of `REFERENCES`; None if none of them was run."""
    known = [name for name in REFERENCES if floats(frame, f"time_vs_{name}_n").any()]
    if not known:
        return None
    rows = [
        [row["label"], _shared_seeds(row, known), *(time_ratio(row, name) for name in known)]
        for row in frame.to_dict("records")
    ]
    return Table(
        "Time per epoch, relative to others",
        ["method", "n", *(REFERENCES[name] for name in known)],
        rows,
        [
            "Ratios of mean seconds over the n seeds that both methods have, with 95 % intervals "
            "paired by seed; n = 1 gives no interval.",
            *notes,
        ],
    )


def _shared_seeds(row: Mapping[str, Any], references: Sequence[str]) -> str:
    counts = (str(row[f"time_vs_{name}_n"]) for name in references)
    return ", ".join(dict.fromkeys(counts))


def time_ratio(row: Mapping[str, Any], reference: str) -> str:
    """Format the ratio of a method's seconds per epoch to those of another one.

    Args:
        row: A row of `comparison`.
        reference: A name of `REFERENCES`.

    Returns:
        The ratio with its 95 % interval.
    """
    column = f"time_vs_{reference}"
    return bracketed(row[column], row[f"{column}_low"], row[f"{column}_high"])


_REJECTIONS = {
    "in all": "rejections_per_batch",
    "proposal": "rejections_proposal_per_batch",
    "correction": "rejections_correction_per_batch",
    "global": "rejections_global_per_batch",
}
_PASSES = {
    "forwards": "forwards_per_batch",
    "backwards": "backwards_per_batch",
    "local": "local_passes_per_batch",
}


def _work_tables(frame: pd.DataFrame) -> list[Table]:
    over = f"Mean [min, max] over the n runs. {SINGLE}"
    return [
        _counts(frame, "Rejections per batch", _REJECTIONS, f"In all, and by phase. {over}"),
        _counts(
            frame,
            "Work per batch",
            _PASSES,
            "Forwards and backwards of the whole network; a local pass is one forward and "
            f"backward of every subdomain. {over}",
        ),
    ]


def _counts(frame: pd.DataFrame, title: str, columns: Mapping[str, str], note: str) -> Table:
    rows = [
        [
            row["label"],
            str(row["n"]),
            *(spread(row, name, two_places) for name in columns.values()),
        ]
        for row in frame.to_dict("records")
    ]
    return Table(title, ["method", "n", *columns], rows, [note])


def _outcome_table(frame: pd.DataFrame, metric: Metric, notes: list[str]) -> Table:
    form = form_of(metric)
    rows = [
        [
            row["label"],
            f"{row['done']}/{row['n']}",
            spread(row, "final_train_loss", number),
            spread(row, f"final_{metric.column('val')}", form),
            spread(row, f"final_{metric.column('test')}", form),
        ]
        for row in frame.to_dict("records")
    ]
    return Table(
        "Outcome",
        ["method", "done", "train loss", f"val. {metric.heading}", f"test {metric.heading}"],
        rows,
        [
            "Mean [min, max] over the runs that have ended; one that failed or diverged counts "
            f"as the worst, {_worst(metric)}. Train loss is the mean over the "
            "steps of the last epoch; the test set is used once, at the end.",
            *notes,
        ],
    )


def _target_table(runs: pd.DataFrame, frame: pd.DataFrame) -> Table:
    rows = []
    for (_, label, group), row in zip(grouped(runs), frame.to_dict("records"), strict=True):
        costs = floats(group, "target_epoch")
        known = costs[~np.isnan(costs)]
        reached = f"{np.isfinite(known).sum()}/{len(known)}" if len(known) else MISSING
        rows.append([label, reached, *(spread(row, name, number) for name in TARGET_COSTS)])
    targets = dict.fromkeys(str(target) for target in runs["target"].dropna())
    return Table(
        "Cost of the target",
        ["method", "reached", "epochs", "passes", "s", "CPU s"],
        rows,
        [
            f"Target: {'; '.join(targets)}. Mean [min, max] over the runs that have ended, of "
            "training up to the end of the epoch that reached it; a run that ended without "
            "reaching it counts as the worst, infinite costs. Passes are forward-backward passes."
        ],
    )


def _worst(metric: Metric) -> str:
    loss = "an infinite loss"
    return loss if metric.name == LOSS.name else f"{metric.worst_in_words} and {loss}"


def _notes(runs: pd.DataFrame) -> list[str]:
    """Name every run that is not done, since the means do not contain its own values.

    Before that, say how far runs came whose budget does not say so.
    """
    notes = _limits(runs)
    for row in runs.to_dict("records"):
        if row["state"] == "done":
            continue
        planned = row["epochs_planned"]
        of = f" of {planned:g}" if planned is not None and not math.isnan(planned) else ""
        done = f"{row['epochs_done']}{of} epochs"
        notes.append(f"{row['label']}, seed {row['seed']}: {row['state']} after {done}.")
    return notes


def _limits(runs: pd.DataFrame) -> list[str]:
    """Say after how many epochs a limit in passes, samples or seconds ended the runs."""
    if "ended_by" not in runs:
        return []
    notes = []
    for limit in LIMITS:
        ended = rows_with(runs, "ended_by", [limit])
        if len(ended):
            far = "; ".join(f"{label} {_epochs(rows)}" for _, label, rows in grouped(ended))
            notes.append(f"Ended by the limit in {limit}, after so many epochs: {far}.")
    return notes


def _epochs(rows: pd.DataFrame) -> str:
    low, high = floats(rows, "epochs_done").min(), floats(rows, "epochs_done").max()
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
