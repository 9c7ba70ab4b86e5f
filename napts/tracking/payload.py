"""The contents of a run directory in MLflow's terms: parameters, metrics and tags."""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from napts.records.columns import FINAL, PER_BATCH, TRAINING_COSTS, column
from napts.records.layout import EPOCHS, MERGED
from napts.records.merged_rows import per_epoch
from napts.records.read import RunRecord

PARAM_LIMIT = 6000
"""Longest parameter value that MLflow stores, in characters."""

DATA_DIGEST_LENGTH = 8
"""Characters of the data digest that are shown, as many as in MLflow's own digests; the full one is
in ``environment.json``."""

DIGEST_LENGTH = 16
"""Characters of the fingerprints that only the importer compares."""

_LEFT_OUT = (
    *("attempt", "epoch", "batches", "samples", "time", "nonmonotone"),
    *("checkpoint_seconds", "logging_seconds", "elapsed_seconds", MERGED),
)
"""Columns of an epoch row that MLflow has in another form, or that are not useful there."""


class Point(NamedTuple):
    """One metric value; ``timestamp`` in unix milliseconds, ``step`` is the epoch."""

    key: str
    value: float
    timestamp: int
    step: int


def milliseconds(seconds: float) -> int:
    """Return unix seconds as MLflow's whole milliseconds."""
    return round(seconds * 1000)


def epoch_points(row: Mapping[str, Any]) -> list[Point]:
    """Return the metrics of one row of ``epochs.jsonl``; absent values are left out.

    Infinite values become NaN: MLflow would store infinity as 1.8e308, which flattens every
    chart, and a gap shows a divergence just as well. A row that stands for several epochs has the
    means of what single ones count.
    """
    row = per_epoch(row)
    named = [*_metrics_of(row), *_system_metrics_of(row)]
    time_ms, epoch = milliseconds(row["time"]), row["epoch"]
    return [Point(key, _storable(value), time_ms, epoch) for key, value in named]


def final_points(record: RunRecord) -> list[Point]:
    """Return the metrics of the finished run, at its last epoch; empty until it is done."""
    final = record.status.get("final") or {}
    if not record.epochs:
        return []
    last = record.epochs[-1]
    time_ms, epoch = milliseconds(record.status.get("updated") or last["time"]), last["epoch"]
    named = [(k, v) for k, v in _named(final, FINAL) if k.startswith("test_")]  # others: last row
    target = (record.status.get("target") or {}) if final else {}
    named += [(f"target_{k}", float(v)) for k, v in target.items() if isinstance(v, int | float)]
    return [Point(key, _storable(value), time_ms, epoch) for key, value in named]


def _metrics_of(row: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    batches = row.get("batches")
    for key, value in _named(row, EPOCHS):
        per_batch = PER_BATCH.get(key)
        if per_batch is not None and batches:
            yield per_batch, value / batches
        # Before training, its costs are no measurement but a zero that would spoil the charts.
        elif per_batch is None and (batches or key not in TRAINING_COSTS):
            yield key, value


def _named(values: Mapping[str, Any], file: str) -> Iterator[tuple[str, float]]:
    """Return the values that are columns of a file, with their names."""
    for name, value in values.items():
        if value is not None and name not in _LEFT_OUT and column(file, name) is not None:
            yield name, value


def _system_metrics_of(row: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Return what MLflow shows under "System metrics", which are the names below ``system/``."""
    if row.get("peak_memory_mb") is not None:
        yield "system/process_peak_memory_megabytes", row["peak_memory_mb"]
    if row.get("train_seconds") and row.get("cpu_seconds") is not None:
        yield "system/process_cpu_seconds", row["cpu_seconds"]
        utilization = 100.0 * row["cpu_seconds"] / row["train_seconds"]
        yield "system/process_cpu_utilization_percentage", utilization


def _storable(value: float) -> float:
    value = float(value)
    return value if math.isfinite(value) else math.nan


def parameters(spec: Mapping[str, Any]) -> dict[str, str]:
    """Return a nested spec as flat parameters, ``{"optimizer.window": "5", ...}``.

    Options that are not set are left out; values are cut at `PARAM_LIMIT` characters.
    """
    return {key: _text(value)[:PARAM_LIMIT] for key, value in _flat(spec) if value is not None}


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def run_name(record: RunRecord) -> str:
    """Return the display name, for example ``"NAPTS seed 0"``."""
    return f"{record.label} seed {record.seed}"


def run_tags(record: RunRecord, state: str) -> dict[str, str]:
    """Return the tags of a run; ``state`` is one of `napts.records.state.MLFLOW_STATUS`."""
    environment = record.environment
    attempts = max([row["attempt"] for row in (*record.restarts, *record.epochs)], default=0)
    tags: dict[str, Any] = {
        "mlflow.runName": run_name(record),
        "mlflow.source.name": "napts",
        "mlflow.source.git.commit": environment.get("git_revision"),
        "napts.attempts": attempts,
        "napts.data_digest": data_digest(environment),
        "napts.dirty": environment.get("git_dirty"),
        "napts.ended_by": record.ended_by,
        "napts.error": record.status.get("error"),
        "napts.git_revision": environment.get("git_revision"),
        "napts.host": environment.get("hostname"),
        "napts.label": record.label,
        "napts.method": record.method,
        "napts.origin": origin(record),
        "napts.run_key": record.run_key,
        "napts.seed": record.seed,
        "napts.state": state,
        "napts.workload": record.workload,
    }
    return {key: _text(value) for key, value in tags.items() if value is not None}


def origin(record: RunRecord) -> str:
    """Return the machine of the first attempt, which distinguishes equal specs run on two machines.

    A copy of the records, or a run that is resumed elsewhere, keeps it.
    """
    first = record.restarts[0] if record.restarts else record.environment
    return str(first.get("hostname") or record.environment.get("hostname") or "unknown")


def data_digest(environment: Mapping[str, Any]) -> str | None:
    """Return the shortened digest of the data, or None if none was recorded."""
    digest = environment.get("data_digest")
    if digest is None:
        return None
    text = digest if isinstance(digest, str) else digest_of([digest])
    return text.removeprefix("sha256:")[:DATA_DIGEST_LENGTH]


def start_time(record: RunRecord) -> float | None:
    """Return when the first attempt began, in unix seconds, or None before anything was written."""
    if record.restarts:
        return float(record.restarts[0]["time"])
    if record.epochs:
        return float(record.epochs[0]["time"]) - float(record.epochs[0].get("wall_seconds") or 0.0)
    return None


def digest_of(rows: Iterable[Any]) -> str:
    """Return a short fingerprint of plain data; epoch rows of another attempt give another one."""
    text = json.dumps(list(rows), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]
