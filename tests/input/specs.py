"""Valid input of every kind, places in it, and values that are wrong nearly everywhere."""

import copy
import datetime
from collections.abc import Iterator
from typing import Any

Place = tuple[str | int, ...]

RUN: dict[str, Any] = {
    "experiment": "exp",
    "label": "mine",
    "seed": 0,
    "precision": "float32",
    "workload": {
        "name": "synthetic-blobs",
        "train_samples": 64,
        "validation_size": 16,
        "test_size": 16,
        "data_seed": 0,
        "noise": 0.7,
    },
    "optimizer": {
        "method": "NAPTS",
        "subdomains": 2,
        "window": 5,
        "local_steps": 2,
        "norm": "l2",
        "correction": [0.5],
        "betas": [0.9, 0.99],
        "radius": 0.1,
        "max_tries": 2,
        "eps": 1e-8,
        "weight_decay": 0.0,
        "preset": "paper",
        "scheduler": {"method": "torch.optim.lr_scheduler.StepLR", "step_size": 1},
    },
    "budget": {
        "epochs": 1,
        "passes": 5.0,
        "samples": 64,
        "seconds": 5.0,
        "batch_size": 32,
        "overlap": 0.0,
        "target": {"metric": "val_loss", "value": 0.1, "goal": "min"},
    },
    "execution": {
        "device": "cpu",
        "threads": 1,
        "ranks": 1,
        "schedule": "gpipe",
        "channels_last": False,
        "compile": False,
        "autocast": "none",
        "checkpoint_every_s": 60.0,
        "record_steps": True,
        "packages": "any",
        "data": "any",
    },
}

FOREIGN: dict[str, Any] = {
    **{key: RUN[key] for key in ("experiment", "workload")},
    "optimizer": {
        "method": "torch.optim.Muon",
        "parameters": ["*weight"],
        "rest": {"method": "torch.optim.SGD", "lr": 0.1},
        "lr": 0.01,
    },
    "budget": {"epochs": 1},
}

PIPELINE: dict[str, Any] = {
    **{key: RUN[key] for key in ("experiment", "workload")},
    "optimizer": {"method": "TR", "order": 1, "pairs": 5},
    "budget": {"epochs": 1, "batch_size": "full"},
    "pipeline": {"stages": 2, "micro_batches": 2},
}

SHARDS: dict[str, Any] = {
    **{key: RUN[key] for key in ("experiment", "workload")},
    "optimizer": {"method": "APTSD", "shards": 2, "local_steps": 1},
    "budget": {"epochs": 1, "samples": 32, "batch_size": 32},
}

STUDY: dict[str, Any] = {
    "experiment": "exp",
    "kind": "comparison",
    "seeds": [0, 1],
    "precision": "float64",
    "workload": {"name": "synthetic-blobs"},
    "budget": {"epochs": 1},
    "methods": [{"method": "SGD", "label": "one", "epochs": 1, "lr": 0.1}, {"method": "TR"}],
}

SWEEP: dict[str, Any] = {
    "experiment": "exp",
    "seeds": [0],
    "workload": {"name": "synthetic-blobs"},
    "budget": {"epochs": 1},
    "execution": {"threads": 1},
    "pipeline": {"stages": 2},
    "grid": {"budget.batch_size": [32, 64]},
    "alternatives": [{"shrink": 0.25}],
    "resources": {"timeout_min": 5, "memory_gb": 1.0, "runs_per_job": 2},
    "methods": [
        {
            "method": "NTR",
            "label": "one",
            "seeds": [1],
            "epochs": 2,
            "grid": {"window": [1, 2]},
            "set": {"execution.threads": 1},
            "random": {
                "samples": 2,
                "seed": 0,
                "radius": {"low": 0.01, "high": 0.1, "scale": "log"},
                "max_tries": {"values": [1, 2]},
            },
            "resources": {"timeout_min": 5},
        }
    ],
}

LOCAL: dict[str, Any] = {"kind": "local", "parallel": 1, "gpus": [0]}

SLURM: dict[str, Any] = {
    "kind": "slurm",
    "partition": "gpu",
    "account": "project",
    "qos": "normal",
    "constraint": "a100",
    "timeout_min": 10,
    "memory_gb": 1.0,
    "gpus_per_rank": 1,
    "runs_per_job": 1,
    "array_parallelism": 2,
    "max_array_size": 10,
    "signal_delay_s": 30,
    "max_timeouts": 5,
    "setup": ["true"],
    "srun_args": ["--cpu-bind=cores"],
    "additional": {"mail-type": "FAIL"},
    "python": "/usr/bin/python3",
}

SPACE: dict[str, Any] = {
    "random": {"samples": 2, "seed": 0, "lr": {"low": 0.1, "high": 1.0, "scale": "linear"}},
    "fixed": {"momentum": 0.5},
}


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


WRONG: list[Any] = [
    *(["slurm"], {"a": 1}, [], {}, [[]], True, "", "  ", "x" * 10_000, "a\nb\x1b[31m\u202e"),
    *(-1, 0, 1.5, -0.5, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 10**40, -(10**40)),
    *(1e308, -1e308, 5e-324, float("inf"), float("nan"), "=cmd()", "$\\foo$", [1] * 5000),
    *(nested(12), datetime.date(2020, 1, 1), datetime.time(1, 2), ["a", {"b": [0]}]),
    *("torch.optim.Nothing", "os.path.join", "napts.TR", "a.b", "../up", "{x}", "%s", "🙂" * 200),
]


def places(data: Any, place: Place = ()) -> Iterator[Place]:
    """Yield the places of all values, outer ones first."""
    if place:
        yield place
    if isinstance(data, dict | list):
        for key, value in data.items() if isinstance(data, dict) else enumerate(data):
            yield from places(value, (*place, key))


def put(data: dict[str, Any], place: Place, value: Any) -> dict[str, Any]:
    """Return a copy with another value at a place."""
    copied: Any = copy.deepcopy(data)
    table = copied
    for key in place[:-1]:
        table = table[key]
    table[place[-1]] = value
    return copied


def without(data: dict[str, Any], place: Place) -> dict[str, Any]:
    """Return a copy without the value at a place."""
    copied: Any = copy.deepcopy(data)
    table = copied
    for key in place[:-1]:
        table = table[key]
    del table[place[-1]]
    return copied
