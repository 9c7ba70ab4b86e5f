"""Time to target: runs that miss it are censored, neither dropped nor counted as fast."""

import math
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.made_runs import Row, write_run
from napts.analysis import load_collection, time_to_target


def frame(tmp_path: Path, reached: dict[int, int | None]) -> pd.DataFrame:
    """Runs of ten epochs of one second; seed -> epoch from which the accuracy is 0.9."""
    for seed, epoch in reached.items():

        def change(row: Row, epoch: int | None = epoch) -> Row:
            hit = epoch is not None and row["epoch"] >= epoch
            seconds = 1.0 if row["epoch"] else 0.0
            return {**row, "val_accuracy": 0.9 if hit else 0.5, "train_seconds": seconds}

        write_run(tmp_path, seed=seed, epochs=10, change=change)
    return load_collection(tmp_path).sections[0].epochs


def test_all_reach_it(tmp_path: Path) -> None:
    (found,) = time_to_target(frame(tmp_path, {0: 3, 1: 5, 2: 8}), "val_accuracy", 0.9)
    assert (found.label, found.n, found.reached) == ("NAPTS", 3, 3)
    assert found.times == (3.0, 5.0, 8.0)
    assert found.median == 5.0


def test_a_miss_is_later_than_every_hit(tmp_path: Path) -> None:
    (found,) = time_to_target(frame(tmp_path, {0: 3, 1: None, 2: 8}), "val_accuracy", 0.9)
    assert (found.reached, found.censored) == (2, (False, True, False))
    assert found.times[1] == 10.0
    assert found.median == 8.0


def test_mostly_missed_has_no_finite_median(tmp_path: Path) -> None:
    (found,) = time_to_target(frame(tmp_path, {0: 3, 1: None, 2: None}), "val_accuracy", 0.9)
    assert math.isinf(found.median)


def test_never_reached(tmp_path: Path) -> None:
    (found,) = time_to_target(frame(tmp_path, {0: None}), "val_accuracy", 0.9)
    assert (found.reached, found.median) == (0, math.inf)


def test_goal_and_clock(tmp_path: Path) -> None:
    data = frame(tmp_path, {0: 4})
    (falling,) = time_to_target(data, "val_accuracy", 0.6, goal="min", clock="epoch")
    assert falling.times == (0.0,)
    with pytest.raises(ValueError, match="clock 'hours' is not one of epoch"):
        time_to_target(data, "val_accuracy", 0.6, clock="hours")
    with pytest.raises(ValueError, match="metric 'f1' is not a column"):
        time_to_target(data, "f1", 0.6)
