"""Records with known numbers for claims to be tested on."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmarks.made_runs import Row, write_run
from napts.analysis import Section, load_collection

BATCHES = 50
Numbers = Mapping[str, Any]
MakeSection = Callable[..., Section]


def write(root: Path, method: str, seed: int, numbers: Numbers, **run: Any) -> None:
    """Write a run whose every epoch has these numbers; a callable is given the epoch."""

    def change(row: Row) -> Row:
        epoch = row["epoch"]
        values = {k: v(epoch) if callable(v) else v for k, v in numbers.items()}
        # Before training there is no train loss and no step.
        known = {k: v for k, v in values.items() if epoch > 0 or k.startswith(("val_", "radius"))}
        return {**row, **known}

    write_run(root, method=method, seed=seed, batches=BATCHES, change=change, **run)


@pytest.fixture
def section(tmp_path: Path) -> MakeSection:
    """Make a section of methods, given for each its numbers by seed."""

    def make(methods: Mapping[str, list[Numbers]], **run: Any) -> Section:
        for method, by_seed in methods.items():
            for seed, numbers in enumerate(by_seed):
                write(tmp_path, method, seed, numbers, **run)
        return load_collection(tmp_path).sections[0]

    return make
