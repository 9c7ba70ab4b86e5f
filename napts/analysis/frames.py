"""Many runs as tidy pandas frames: one row per epoch, or one row per run.

Nothing is left out: a run that failed or diverged keeps its rows and its state, and a value that
does not exist is NaN, never zero. What such a run counts for in statistics is said in
`napts.analysis.outcome`.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from napts.analysis.columns import floats, rows_where
from napts.analysis.labels import distinct_labels, order_of
from napts.records import RunRecord
from napts.records.costs import pass_equivalents

IDENTITY = ("experiment", "workload", "label", "method", "seed", "run_key", "state")
"""Columns that name the run, in both frames."""

MEASURES = (
    "batches",
    "train_loss",
    "val_loss",
    "val_accuracy",
    "train_seconds",
    "eval_seconds",
    "checkpoint_seconds",
    "logging_seconds",
    "cpu_seconds",
    "wall_seconds",
    "elapsed_seconds",
    "rejections",
    "rejections_proposal",
    "rejections_correction",
    "rejections_global",
    "forwards",
    "backwards",
    "local_passes",
    "accepted",
    "nonmonotone",
    "radius",
    "peak_memory_mb",
)
"""Columns copied from ``epochs.jsonl``."""

PER_BATCH = {
    "rejections": "rejections_per_batch",
    "rejections_proposal": "rejections_proposal_per_batch",
    "rejections_correction": "rejections_correction_per_batch",
    "rejections_global": "rejections_global_per_batch",
    "forwards": "forwards_per_batch",
    "backwards": "backwards_per_batch",
    "local_passes": "local_passes_per_batch",
    "accepted": "acceptance_rate",
    "nonmonotone": "nonmonotone_rate",
}
"""Totals of an epoch, and the name of the same per batch."""

FINAL = ("train_loss", "val_loss", "val_accuracy", "test_loss", "test_accuracy")
"""Values of a finished run, from ``status.json``."""


def _identity(run: RunRecord, label: str) -> dict[str, Any]:
    return {
        "experiment": run.experiment,
        "workload": run.workload,
        "label": label,
        "method": run.method,
        "seed": run.seed,
        "run_key": run.run_key,
        "state": run.state,
    }


def _sorted(frame: pd.DataFrame, *last: str) -> pd.DataFrame:
    """Sort rows as methods are always listed here, then by seed."""
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
        The columns `IDENTITY`, ``epoch``, ``local_fraction`` (share of the batch that a local
        pass uses), `MEASURES` (seconds, totals of the epoch, megabytes),
        the values of `PER_BATCH`, ``pass_equivalents`` of the epoch in forward-backward passes of
        the whole network, and the running totals ``train_seconds_total``,
        ``cpu_seconds_total`` and
        ``pass_equivalents_total``. Epoch 0 is the evaluation before training: its values per
        batch are NaN and its running totals zero.
    """
    labels = distinct_labels(runs)
    rows = [
        {
            **_identity(run, label),
            "epoch": row["epoch"],
            "local_fraction": run.spec["optimizer"].get("local_fraction", 1.0),
            **{name: row.get(name) for name in MEASURES},
        }
        for run, label in zip(runs, labels, strict=True)
        for row in run.epochs
    ]
    frame = pd.DataFrame(rows, columns=[*IDENTITY, "epoch", "local_fraction", *MEASURES])
    frame = frame.astype({name: float for name in ("local_fraction", *MEASURES)})
    return _with_totals(_sorted(_with_rates(frame), "epoch"))


def _with_rates(frame: pd.DataFrame) -> pd.DataFrame:
    batches = frame["batches"].where(frame["batches"] > 0)
    rates = {name: frame[total] / batches for total, name in PER_BATCH.items()}
    passes = pass_equivalents(
        frame["forwards"], frame["backwards"], frame["local_passes"], frame["local_fraction"]
    )
    return frame.assign(**rates, pass_equivalents=passes)


def _with_totals(frame: pd.DataFrame) -> pd.DataFrame:
    summed = ["train_seconds", "cpu_seconds", "pass_equivalents"]
    training = frame[summed].where(frame["epoch"] > 0, 0.0)
    keys = [frame[name] for name in ("experiment", "run_key")]
    totals = training.groupby(keys).cumsum()
    return frame.assign(
        train_seconds_total=totals["train_seconds"],
        cpu_seconds_total=totals["cpu_seconds"],
        pass_equivalents_total=totals["pass_equivalents"],
    )


def runs_frame(runs: Sequence[RunRecord], epochs: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return one row per run.

    Args:
        runs: Runs of any number of experiments, in any order.
        epochs: Their `epochs_frame`, where it is there already.

    Returns:
        The columns `IDENTITY`; ``epochs_done`` and ``epochs_planned``; ``seconds_per_epoch`` and
        ``cpu_seconds_per_epoch``, medians of the training part without the first epoch, which
        pays for warming up, when there are more than two; the values of `PER_BATCH` and
        ``pass_equivalents_per_batch`` over the whole run, and ``cpu_seconds_per_pass`` of them;
        and ``final_*`` for each of `FINAL`, NaN unless the run is done, because the values of an
        unfinished run are no result.
    """
    epochs = epochs_frame(runs) if epochs is None else epochs
    trained = {
        key: group for key, group in epochs[epochs["epoch"] > 0].groupby(["experiment", "run_key"])
    }
    rows = [
        {
            **_identity(run, label),
            **_cost(trained.get((run.experiment, run.run_key), epochs.iloc[:0])),
            "epochs_planned": run.spec.get("budget", {}).get("epochs"),
            **_final(run),
        }
        for run, label in zip(runs, distinct_labels(runs), strict=True)
    ]
    columns = [*IDENTITY, *_cost(epochs.iloc[:0]), "epochs_planned"]
    columns += [f"final_{name}" for name in FINAL]
    frame = pd.DataFrame(rows, columns=columns)
    numbers = [name for name in columns if name not in (*IDENTITY, "epochs_done", "epochs_planned")]
    return _sorted(frame.astype({name: float for name in numbers}))


def _cost(epochs: pd.DataFrame) -> dict[str, Any]:
    # The last epoch of a budget in samples or seconds may have fewer batches than the others.
    batches_of = floats(epochs, "batches")
    whole = rows_where(epochs, ~(batches_of < batches_of.max(initial=0.0)))
    timed = whole.iloc[1:] if len(whole) > 2 else whole
    batches = epochs["batches"].sum() or float("nan")
    passes = epochs["pass_equivalents"].sum(min_count=1)
    return {
        "epochs_done": len(epochs),
        "seconds_per_epoch": timed["train_seconds"].median(),
        "cpu_seconds_per_epoch": timed["cpu_seconds"].median(),
        **{name: epochs[total].sum(min_count=1) / batches for total, name in PER_BATCH.items()},
        "pass_equivalents_per_batch": passes / batches,
        "cpu_seconds_per_pass": epochs["cpu_seconds"].sum(min_count=1) / (passes or float("nan")),
    }


def _final(run: RunRecord) -> dict[str, float]:
    final = (run.final or {}) if run.state == "done" else {}
    values = {name: final.get(name) for name in FINAL}
    return {f"final_{name}": float("nan") if v is None else v for name, v in values.items()}
