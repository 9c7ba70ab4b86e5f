"""Small runs to be disturbed, and whether they ended as if nothing had happened."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from napts.records import RunRecord, load_run
from napts.records.columns import FINAL, TARGET, column
from napts.records.layout import EPOCHS, STEPS

OPTIMIZERS: Mapping[str, Mapping[str, Any]] = {
    "NAPTS": {"method": "NAPTS"},
    "TR": {"method": "TR"},
    "Adam": {"method": "Adam", "lr": 0.01},
    "APTS": {"method": "APTS"},
    "NTR": {"method": "NTR"},
    "APTSW": {"method": "APTSW", "order": 2},
    "SGD": {"method": "SGD", "lr": 0.05, "momentum": 0.9},
    "LBFGS": {"method": "LBFGS", "history_size": 4},
    "schedule-free": {"method": "schedulefree.AdamWScheduleFree"},
    "schedule": {
        "method": "torch.optim.AdamW",
        "lr": 0.01,
        "scheduler": {"method": "torch.optim.lr_scheduler.StepLR", "step_size": 1},
    },
}
"""Optimizers of runs, by label; each keeps another kind of state."""

WORKLOADS: tuple[Mapping[str, Any], ...] = (
    {"name": "synthetic-batchnorm"},
    {"name": "digits-cnn", "train_samples": 120, "validation_size": 60},
)
"""The first has dropout and BatchNorm, so that random numbers and buffers have to survive, too."""


def spec_of(label: str, workload: Mapping[str, Any], *, epochs: int = 3) -> dict[str, Any]:
    """Return a spec whose run writes a checkpoint after every step."""
    return {
        "experiment": "campaign",
        "label": label,
        "workload": dict(workload),
        "optimizer": dict(OPTIMIZERS[label]),
        "budget": {"epochs": epochs, "batch_size": 40},
        "execution": {"threads": 1, "checkpoint_every_s": 0.0},
    }


def write_toml(path: Path, data: Mapping[str, Any]) -> Path:
    """Write a TOML file and return its path."""
    path.write_text(tomli_w.dumps(data), encoding="utf-8")
    return path


def only_run(records: Path) -> Path:
    """Return the only run directory of a records folder."""
    (path,) = records.glob("*/*/spec.json")
    return path.parent


def science(run: RunRecord) -> dict[str, Any]:
    """Return all that two runs of the same numbers have in common, by the table of columns."""
    return {
        "state": run.state,
        "ended by": run.ended_by,
        "spec": run.spec,
        "epochs": [_compared(EPOCHS, row) for row in run.epochs],
        "steps": [_compared(STEPS, row) for row in run.steps],
        "final": _compared(FINAL, run.final or {}),
        "target": _compared(TARGET, run.target or {}),
    }


def _compared(file: str, row: Mapping[str, Any]) -> str:
    kept = {}
    for name, value in row.items():
        found = column(file, name)
        if found is None or not found.measured:
            kept[name] = value
    return json.dumps(kept, sort_keys=True)


def differences(records: Path, expected: Mapping[str, Any]) -> list[str]:
    """Say in what a finished run differs from what it should have been."""
    try:
        found = science(load_run(only_run(records)))
    except (OSError, ValueError) as error:
        return [f"the run cannot be read: {error}"]
    return [f"{name} differs" for name in expected if found[name] != expected[name]]


def left_over(folder: Path, known: set[str]) -> list[str]:
    """Return the names of what lies in a folder and is not known."""
    return sorted(path.name for path in folder.iterdir() if path.name not in known)
