"""Methods for finite sums in runs: resumed as if nothing had happened, counted in records."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from napts.experiment import RunSpec, run
from napts.records import load_run
from tests.helpers.rows import ROWS, write_rows
from tests.helpers.stopped import assert_stopping_changes_nothing

METHODS: dict[str, dict[str, Any]] = {
    "MLVR": {"shares": [0.1, 0.4]},
    "SSN": {"share": 0.25},
    "ASTROM": {"share": 0.05, "radius": 4.0},
    "TRNewton": {"radius": 0.05},
    "SVRG": {"snapshot_steps": 4},
    "SARAH": {"snapshot_steps": 4},
}


@pytest.fixture(autouse=True)
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_rows(tmp_path)
    monkeypatch.setenv("NAPTS_DATA", str(tmp_path))
    monkeypatch.setenv("NAPTS_CACHE", str(tmp_path / "cache"))


def _spec(method: str, seed: int = 0, **budget: Any) -> RunSpec:
    return RunSpec.model_validate(
        {
            "experiment": "tests",
            "workload": {"name": "libsvm-logistic"},
            "optimizer": {"method": method, **METHODS[method]},
            "budget": {"epochs": 8, **budget},
            "precision": "float64",
            "seed": seed,
            "execution": {"checkpoint_every_s": 0.0},
        }
    )


@pytest.mark.parametrize("batch", ["full", 16])
@pytest.mark.parametrize("method", METHODS)
def test_a_run_that_was_stopped_ends_the_same(method: str, batch: Any, tmp_path: Path) -> None:
    spec = _spec(method, batch_size=batch, epochs=8 if batch == "full" else 2)
    straight = assert_stopping_changes_nothing(spec, tmp_path)
    assert straight.epochs[-1]["val_loss"] < straight.epochs[0]["val_loss"]


def test_the_seed_of_a_run_decides_about_the_samples(tmp_path: Path) -> None:
    losses = [
        [row["val_loss"] for row in load_run(run(_spec("MLVR", seed), tmp_path / name).path).epochs]
        for seed, name in ((0, "a"), (0, "b"), (1, "c"))
    ]
    assert losses[0] == losses[1]
    assert losses[0][0] == losses[2][0]  # all begin at 0
    assert losses[0] != losses[2]


def test_counts_stand_in_the_records(tmp_path: Path) -> None:
    record = load_run(run(_spec("ASTROM"), tmp_path / "records").path)
    steps = record.steps
    assert steps[0]["sample_fraction"] == pytest.approx(2 / ROWS)
    assert steps[0]["backwards"] in (pytest.approx(1 + 2 / ROWS), pytest.approx(1 + 4 / ROWS))
    assert steps[0]["hessians"] == pytest.approx(steps[0]["backwards"] - 1)
    rejected = [step for step in steps if not step["accepted"]]
    assert rejected
    for step, after in pairwise(steps):
        if after["sample_fraction"] < 1.0:
            assert (after["backwards"] >= 1.0) == step["accepted"]
        assert after["hessian_products"] == pytest.approx(
            after["sample_fraction"] * after["cg_iterations"]
        )
