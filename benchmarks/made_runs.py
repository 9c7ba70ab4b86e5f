"""Synthetic run directories that follow the format of the real ones, with known numbers."""

import hashlib
import json
import math
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napts.records.metric import Metric

SCHWARZ = ("APTS", "APTSA", "NAPTS")
TRUST_REGION = ("TR", "NTR", *SCHWARZ)

# Per batch: rejections of proposal, correction, global; forwards, backwards, local passes.
WORK: dict[str, tuple[float, ...]] = {
    "TR": (0.0, 0.0, 0.42, 2.42, 1.0, 0.0),
    "NTR": (0.0, 0.0, 0.2, 2.2, 1.0, 0.0),
    "APTS": (0.3, 0.62, 0.5, 4.42, 2.0, 4.0),
    "APTSA": (0.0, 0.0, 0.44, 3.44, 2.0, 4.0),
    "NAPTS": (0.02, 0.04, 0.16, 3.22, 2.0, 4.0),
    "APTSW": (0.0, 0.0, 0.2, 9.0, 2.0, 0.0),
    "APTSD": (0.1, 0.0, 0.2, 4.0, 2.0, 0.0),
    "Adam": (0.0, 0.0, 0.0, 1.0, 1.0, 0.0),
    "SGD": (0.0, 0.0, 0.0, 1.0, 1.0, 0.0),
    "LBFGS": (0.0, 0.0, 0.0, 20.0, 20.0, 0.0),
}
SECONDS = {
    "TR": 1.4,
    "NTR": 1.25,
    "APTS": 4.4,
    "APTSA": 3.9,
    "NAPTS": 3.2,
    "APTSW": 5.0,
    "APTSD": 2.5,
    "Adam": 0.9,
    "SGD": 0.85,
    "LBFGS": 9.0,
}
LIMITS = {  # final loss, final accuracy, speed
    "TR": (0.52, 0.855, 0.35),
    "NTR": (0.43, 0.882, 0.4),
    "APTS": (0.11, 0.962, 0.55),
    "APTSA": (0.13, 0.956, 0.55),
    "NAPTS": (0.10, 0.964, 0.6),
    "APTSW": (0.12, 0.96, 0.55),
    "APTSD": (0.2, 0.94, 0.5),
    "Adam": (0.05, 0.972, 0.7),
    "SGD": (0.16, 0.951, 0.45),
    "LBFGS": (0.09, 0.96, 0.5),
}

Row = dict[str, Any]


def epoch_row(method: str, seed: int, epoch: int, batches: int) -> Row:
    """Return one plausible row; a pure function of its arguments. Unknown methods cost as Adam."""
    noise = random.Random(f"{method}-{seed}-{epoch}")
    floor, top, speed = LIMITS.get(method, LIMITS["Adam"])
    decay = math.exp(-speed * epoch)
    loss = (floor + (2.3 - floor) * decay) * (1 + 0.03 * noise.uniform(-1, 1))
    seconds = (
        SECONDS.get(method, SECONDS["Adam"])
        * (1 + 0.05 * noise.uniform(-1, 1))
        * (1.5 if epoch == 1 else 1.0)
    )
    trained = epoch > 0
    work = [round(rate * batches) if trained else 0 for rate in WORK.get(method, WORK["Adam"])]
    if trained and method in TRUST_REGION:
        work[2] = max(0, work[2] + noise.randint(-2, 2))
    train_seconds = seconds if trained else 0.0
    wall = train_seconds + 0.1 + 0.02 + 0.01
    return {
        "attempt": 1,
        "epoch": epoch,
        "batches": batches if trained else 0,
        "samples": 64 * batches if trained else 0,
        "train_loss": loss if trained else None,
        "val_loss": loss * 1.05,
        "val_accuracy": top - (top - 0.1) * decay + 0.004 * noise.uniform(-1, 1),
        "train_seconds": train_seconds,
        "eval_seconds": 0.1,
        "checkpoint_seconds": 0.02,
        "logging_seconds": 0.01,
        "cpu_seconds": 0.98 * train_seconds,
        "wall_seconds": wall,
        "elapsed_seconds": wall * (epoch + 1),
        "rejections": sum(work[:3]),
        "rejections_proposal": work[0],
        "rejections_correction": work[1],
        "rejections_global": work[2],
        "forwards": work[3],
        "backwards": work[4],
        "local_passes": work[5],
        "accepted": batches if trained else 0,
        "nonmonotone": 3 if trained and method in ("NTR", "NAPTS") else 0,
        "radius": 0.1 * 2 ** noise.randint(-3, 3) if method in TRUST_REGION else None,
        "peak_memory_mb": 400.0 + epoch,
        "time": 1.7e9 + 10.0 * epoch,
    }


def write_run(
    root: Path,
    *,
    method: str = "NAPTS",
    seed: int = 0,
    workload: str = "digits-cnn",
    experiment: str = "demo",
    epochs: int = 10,
    epochs_done: int | None = None,
    batches: int = 50,
    state: str = "done",
    label: str | None = None,
    options: Mapping[str, Any] | None = None,
    workload_options: Mapping[str, Any] | None = None,
    batch_size: int = 1000,
    metric: "Metric | None" = None,
    kind: str | None = None,
    budget: Mapping[str, Any] | None = None,
    target: Mapping[str, Any] | None = None,
    change: Callable[[Row], Row | None] = lambda row: row,
    restarts: list[Row] | None = None,
    final: Mapping[str, float | str] | None = None,
) -> Path:
    """Write one run directory and return its path.

    `change` may replace a row before it is written; `final` replaces the final values. `metric`
    takes the place of the accuracy, 1 minus it where less is better, and is named in the header as
    `kind` is; runs as they used to be have neither. `budget` takes the place of the epochs in the
    spec, and `target` is what the status says of its target.
    """
    optimizer = {"method": method, **(options or {})}
    spec = {
        "experiment": experiment,
        "seed": seed,
        "precision": "float32",
        "workload": {"name": workload, **(workload_options or {})},
        "optimizer": optimizer,
        "budget": {**(budget or {"epochs": epochs}), "batch_size": batch_size},
        "execution": {"device": "cpu", "threads": 1},
    }
    science = {name: value for name, value in spec.items() if name not in ("execution",)}
    digest = hashlib.sha256(json.dumps(science, sort_keys=True).encode()).hexdigest()[:10]
    path = root / experiment / f"{method.lower()}-s{seed}-{digest}"
    path.mkdir(parents=True)
    done = epochs if epochs_done is None else epochs_done
    made = [epoch_row(method, seed, epoch, batches) for epoch in range(done + 1)]
    rows = [change(_measured_by(metric, row)) for row in made]
    kept = [row for row in rows if row is not None]
    header = {
        "schema": 1,
        "run_key": path.name,
        "experiment": experiment,
        "label": label or method,
        "spec": spec,
    }
    if metric is not None:
        header["primary"] = metric.as_dict()
    if kind is not None:
        header["kind"] = kind
    last = kept[-1] if kept else {}
    name = metric.name if metric else "accuracy"
    finished = final or {
        "train_loss": last.get("train_loss"),
        "val_loss": last.get("val_loss"),
        f"val_{name}": last.get(f"val_{name}"),
        "test_loss": last.get("val_loss"),
        f"test_{name}": (last.get(f"val_{name}") or 0.0) - 0.002,
    }
    status = {
        "state": state,
        "updated": 1.7e9 + 100,
        "attempt": 1,
        "epoch": done,
        "epochs": epochs,
        "final": finished if state == "done" else None,
        "error": "FloatingPointError: loss is not finite" if state == "diverged" else None,
        "pid": 4242,
        "hostname": "node1",
        **({"target": target} if budget else {}),
    }
    _write_json(path / "spec.json", header)
    _write_json(path / "environment.json", ENVIRONMENT)
    _write_json(path / "status.json", status)
    _write_rows(path / "epochs.jsonl", kept)
    _write_rows(path / "restarts.jsonl", restarts or [FIRST_START])
    return path


def _measured_by(metric: "Metric | None", row: Row) -> Row:
    """Return the row with another metric in the place of the accuracy."""
    if metric is None:
        return row
    value = row["val_accuracy"] if metric.goal == "max" else 1 - row["val_accuracy"]
    renamed = {"val_accuracy": (metric.column("val"), value)}
    return dict(renamed.get(name, (name, old)) for name, old in row.items())


FIRST_START: Row = {
    "attempt": 1,
    "time": 1.7e9,
    "pid": 4242,
    "hostname": "node1",
    "resumed_from_epoch": None,
    "resumed_from_step": None,
    "reason": "start",
}

ENVIRONMENT: Row = {
    "git_revision": "0123456789abcdef0123456789abcdef01234567",
    "git_dirty": False,
    "napts": "0.1.0",
    "python": "3.12.1",
    "torch": "2.13.0",
    "numpy": "2.4.0",
    "platform": "Linux-6.1-x86_64",
    "cpu_model": "Example CPU @ 2.00GHz",
    "cpu_cores": 2,
    "threads": 1,
    "gpu": None,
    "hostname": "node1",
    "data_digest": "feedc0de12345678",
}


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, allow_nan=False), encoding="utf-8")


def _write_rows(path: Path, rows: list[Row]) -> None:
    lines = [json.dumps(row, allow_nan=False) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def write_comparison(
    root: Path,
    *,
    seeds: int = 3,
    methods: tuple[str, ...] = (*TRUST_REGION, "Adam", "SGD"),
    **options: Any,
) -> None:
    """Write one run per method and seed."""
    for method in methods:
        for seed in range(seeds):
            write_run(root, method=method, seed=seed, **options)
