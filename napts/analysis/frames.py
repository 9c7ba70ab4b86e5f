"""Many runs as tidy pandas frames: one row per epoch, or one row per run.

Nothing is left out: a run that failed or diverged keeps its rows and its state, and a value that
does not exist is NaN, never zero. `napts.analysis.outcome` defines how such a run counts in
statistics.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from napts.analysis.columns import Floats, floats, rows_where
from napts.analysis.labels import distinct_labels, order_of
from napts.analysis.measured import METRIC_COLUMNS, metric_columns
from napts.analysis.sharing import SHARED_DEVICE, shared_a_device
from napts.records import RunRecord
from napts.records.columns import METRIC, PER_BATCH, columns_of, metrics_in
from napts.records.costs import pass_equivalents
from napts.records.layout import EPOCHS, MERGED
from napts.records.metric import LOSS
from napts.records.read import ENDED

IDENTITY = ("experiment", "workload", "label", "method", "seed", "run_key", "state")
"""Columns that identify the run, in both frames."""

_METRICS = f"val_{METRIC}"

MEASURES = tuple(
    each.name
    for each in columns_of(EPOCHS)
    if each.name not in ("attempt", "epoch", "time", _METRICS) and not each.optional
)
"""Columns copied from ``epochs.jsonl``; those of the metrics follow ``val_loss``."""

OPTIONAL = tuple(each.name for each in columns_of(EPOCHS) if each.optional)
"""Further such columns, present if some run has them."""

GRADIENTS = ("gradients_published", "gradients_concurrent")
"""Those of them that count gradients in special ways; for other methods they are all gradients."""

WORK = tuple(name for name in OPTIONAL if name.startswith("work_"))
"""Those of them that count gradients by the share of a network's blocks, and by level."""

SUMMED = ("hessians", "hessian_products", "cg_iterations", *GRADIENTS, "update_cost", *WORK)
"""Those of them that are counts, and have running totals."""


TARGET_COSTS = {
    "target_epoch": "epoch",
    "target_passes": "passes",
    "target_seconds": "train_seconds",
    "target_cpu_seconds": "cpu_seconds",
}
"""Columns of the runs frame with the cost of reaching the budget's target, and their names in the
records. They are present if some run has a target."""


LIMITS = ("passes", "samples", "seconds")
"""Limits of a budget that can end runs of one method after different numbers of epochs."""


def _identity(run: RunRecord, label: str) -> dict[str, Any]:
    return {
        "experiment": run.experiment,
        "workload": run.workload,
        "label": label,
        "method": run.method,
        "seed": run.seed,
        "run_key": run.run_key,
        "state": run.state,
        **metric_columns(run.primary),
    }


def _metrics(runs: Sequence[RunRecord]) -> list[str]:
    """Return the metrics that some run has values for, or is compared by."""
    found = dict.fromkeys(run.primary.name for run in runs)
    for run in runs:
        found |= dict.fromkeys(metrics_in(run.epochs))
    return [name for name in found if name != LOSS.name]


def _behind(names: Sequence[str], place: str, more: Sequence[str]) -> list[str]:
    """Insert names after another one."""
    index = names.index(place) + 1
    return [*names[:index], *more, *names[index:]]


def _measures(runs: Sequence[RunRecord]) -> list[str]:
    there = {name for run in runs for name in OPTIONAL if any(name in row for row in run.epochs)}
    measures = [*MEASURES, *(name for name in OPTIONAL if name in there)]
    return _behind(measures, "val_loss", [f"val_{name}" for name in _metrics(runs)])


def _finals(runs: Sequence[RunRecord]) -> list[str]:
    names = _metrics(runs)
    parts = ("train_loss", *(f"{part}_{n}" for part in ("val", "test") for n in ("loss", *names)))
    return list(parts)


def _sorted(frame: pd.DataFrame, *last: str) -> pd.DataFrame:
    """Sort rows in the usual order of methods, then by seed."""
    pairs = list(zip(frame["method"], frame["label"], strict=True))
    ordered = sorted(set(pairs), key=lambda pair: order_of(*pair))
    frame = frame.assign(_order=[ordered.index(pair) for pair in pairs])
    by = ["experiment", "workload", "_order", "seed", *last]
    return frame.sort_values(by, kind="stable").drop(columns="_order").reset_index(drop=True)


def epochs_frame(runs: Sequence[RunRecord]) -> pd.DataFrame:
    """Return one row per run and epoch.

    Args:
        runs: Runs of any number of experiments, in any order.

    Returns:
        The columns `IDENTITY`, `METRIC_COLUMNS`, ``epoch``, ``local_fraction`` (share of the batch
        that a local pass uses), `MEASURES` (seconds, totals of the epoch, megabytes) with
        ``val_<metric>`` for every metric that a run has, those of `OPTIONAL` that some run has,
        the values of `PER_BATCH`,
        ``pass_equivalents`` of the epoch in forward-backward passes of the whole network, and the
        running totals ``train_seconds_total``, ``cpu_seconds_total``, ``pass_equivalents_total``
        and ``backwards_total``. If there are optional counts, also those of `SUMMED` and
        ``evaluations_total``, gradients and products of Hessians with vectors. Totals of work
        units are in gradients of all samples, not of a batch; methods with one network have one
        for each gradient. Epoch 0 is the evaluation before training: its values per batch are NaN
        and its running totals zero.
    """
    labels, measures = distinct_labels(runs), _measures(runs)
    rows = [
        {
            **_identity(run, label),
            "epoch": row["epoch"],
            "local_fraction": run.spec["optimizer"].get("local_fraction", 1.0),
            **{name: row.get(name) for name in measures},
        }
        for run, label in zip(runs, labels, strict=True)
        for row in run.epochs
    ]
    numbers = ["local_fraction", *measures]
    frame = pd.DataFrame(rows, columns=[*IDENTITY, *METRIC_COLUMNS, "epoch", *numbers])
    frame = frame.astype(dict.fromkeys(numbers, float))
    return _with_totals(_sorted(_with_rates(frame), "epoch"))


def _with_rates(frame: pd.DataFrame) -> pd.DataFrame:
    batches = frame["batches"].where(frame["batches"] > 0)
    rates = {name: frame[total] / batches for total, name in PER_BATCH.items()}
    products = frame["hessian_products"].fillna(0.0) if "hessian_products" in frame else 0.0
    passes = pass_equivalents(
        frame["forwards"],
        frame["backwards"],
        frame["local_passes"],
        frame["local_fraction"],
        products,
    )
    return frame.assign(**rates, pass_equivalents=passes)


def _with_totals(frame: pd.DataFrame) -> pd.DataFrame:
    costs = ["train_seconds", "cpu_seconds", "pass_equivalents", "backwards"]
    counts = [name for name in SUMMED if name in frame]
    # What a method does not count it does not have; but it has gradients, and vector work.
    filled = {name: frame[name].fillna(_without(frame, name)) for name in counts}
    known = frame.assign(**filled)
    training = known[[*costs, *counts]].where(frame["epoch"] > 0, 0.0)
    keys = [frame[name] for name in ("experiment", "run_key")]
    work = [name for name in WORK if name in frame]
    if work:
        # One gradient of all samples takes as many as there are batches in a whole epoch.
        batches = frame["batches"] / _epochs_in(frame)
        whole = batches.groupby(keys).transform("max").clip(lower=1.0)
        training = training.assign(**{name: training[name] / whole for name in work})
    totals = training.groupby(keys).cumsum()
    frame = frame.assign(**{f"{name}_total": totals[name] for name in totals})
    if "hessian_products" in counts:
        evaluations = totals["backwards"] + totals["hessian_products"]
        frame = frame.assign(evaluations_total=evaluations)
    return frame


def _epochs_in(frame: pd.DataFrame) -> Floats:
    """Return for how many epochs each row stands."""
    return np.nan_to_num(floats(frame, MERGED), nan=1.0) if MERGED in frame else np.ones(len(frame))


def _without(frame: pd.DataFrame, name: str) -> Any:
    """Return a method's value for a count that it does not record."""
    if name in (*GRADIENTS, "work_units"):
        return frame["backwards"]
    return float("nan") if name == "update_cost" else 0.0


def runs_frame(runs: Sequence[RunRecord], epochs: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return one row per run.

    Args:
        runs: Runs of any number of experiments, in any order.
        epochs: Their `epochs_frame`, if it exists already.

    Returns:
        The columns `IDENTITY` and `METRIC_COLUMNS`; ``epochs_done`` and ``epochs_planned``;
        ``seconds_per_epoch`` and ``cpu_seconds_per_epoch``, medians of the training part, without
        the first epoch (which includes warming up) if there are more than two; the values of
        `PER_BATCH` and ``pass_equivalents_per_batch`` over the whole run, and
        ``cpu_seconds_per_pass`` from them; and ``final_*`` for the losses and metrics at the end,
        on training, validation and test data. These are NaN unless the run is done, because the
        values of an unfinished run are not a result.
        If some run has a target in its budget: ``target`` in words, and `TARGET_COSTS`, infinite
        for a run that has ended without reaching it, NaN for one that may still reach it. If one of
        `LIMITS` ended some run: ``ended_by``. If some runs shared a GPU: `SHARED_DEVICE`.
    """
    epochs = epochs_frame(runs) if epochs is None else epochs
    trained = {
        key: group for key, group in epochs[epochs["epoch"] > 0].groupby(["experiment", "run_key"])
    }
    finals, shared = _finals(runs), shared_a_device(runs)
    rows = [
        {
            **_identity(run, label),
            **_cost(trained.get((run.experiment, run.run_key), epochs.iloc[:0])),
            **_medians(run),
            "epochs_planned": run.spec.get("budget", {}).get("epochs"),
            **_final(run, finals),
            **_target(run),
            "ended_by": run.ended_by,
            SHARED_DEVICE: beside,
        }
        for run, label, beside in zip(runs, distinct_labels(runs), shared, strict=True)
    ]
    ends = [f"final_{name}" for name in finals]
    columns = [*IDENTITY, *METRIC_COLUMNS, *_cost(epochs.iloc[:0]), "epochs_planned", *ends]
    if any(run.spec["budget"].get("target") for run in runs if "budget" in run.spec):
        columns += ["target", *TARGET_COSTS]
    if any(run.ended_by in LIMITS for run in runs):
        columns.append("ended_by")
    if any(shared):
        columns.append(SHARED_DEVICE)
    told = ("epochs_done", "epochs_planned", "target", "ended_by", SHARED_DEVICE)
    kept = (*IDENTITY, *METRIC_COLUMNS, *told)
    numbers = [name for name in columns if name not in kept]
    frame = pd.DataFrame(rows, columns=columns)
    return _sorted(frame.astype(dict.fromkeys(numbers, float)))


def _cost(epochs: pd.DataFrame) -> dict[str, Any]:
    # The last epoch of a budget in samples or seconds may have fewer batches than the others.
    batches_of = floats(epochs, "batches")
    whole = rows_where(epochs, ~(batches_of < batches_of.max(initial=0.0)))
    timed = whole.iloc[1:] if len(whole) > 2 else whole
    batches = epochs["batches"].sum() or float("nan")
    passes = epochs["pass_equivalents"].sum(min_count=1)
    return {
        "epochs_done": int(_epochs_in(epochs).sum()),
        "seconds_per_epoch": timed["train_seconds"].median(),
        "cpu_seconds_per_epoch": timed["cpu_seconds"].median(),
        **{name: epochs[total].sum(min_count=1) / batches for total, name in PER_BATCH.items()},
        "pass_equivalents_per_batch": passes / batches,
        "cpu_seconds_per_pass": epochs["cpu_seconds"].sum(min_count=1) / (passes or float("nan")),
    }


def _medians(run: RunRecord) -> dict[str, Any]:
    """Return the medians over epochs that the rows of a thinned copy no longer tell."""
    if run.thinned is None:
        return {}
    columns = {"seconds_per_epoch": "train_seconds", "cpu_seconds_per_epoch": "cpu_seconds"}
    return {name: run.thinned.get(column) for name, column in columns.items()}


def _final(run: RunRecord, names: Sequence[str]) -> dict[str, float]:
    final = (run.final or {}) if run.state == "done" else {}
    values = {name: final.get(name) for name in names}
    return {f"final_{name}": float("nan") if v is None else v for name, v in values.items()}


def _target(run: RunRecord) -> dict[str, Any]:
    """Return the target and its cost: NaN while unknown, infinite if the target was missed."""
    target, note = run.spec.get("budget", {}).get("target"), run.target or {}
    if target is None:
        return {}
    missed = math.inf if run.state in ENDED else math.nan
    costs = {
        column: note.get(name) if note.get("reached") else missed
        for column, name in TARGET_COSTS.items()
    }
    return {"target": target_in_words(target), **costs}


def target_in_words(target: Mapping[str, Any]) -> str:
    """Return the target of a budget in words, for example ``"val_r2 >= 0.4"``."""
    sign = ">=" if target.get("goal") == "max" else "<="
    return f"{target['metric']} {sign} {target['value']:g}"
