"""Time to target: runs that miss it are later than all others, neither dropped nor fast."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmarks.made_runs import Row, write_run
from napts.analysis import load_collection, time_to_target
from napts.analysis.target import Arrival, _aggregate, median_time, ratio_of_medians


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


def test_runs_that_diverged_early_stay_at_risk() -> None:
    found = _aggregate("a", [(1.0, False)] * 3 + [(10.0, True)] * 2)
    assert (found.n, found.reached, found.median) == (5, 2, math.inf)
    assert _aggregate("a", [(1.0, False)] * 2 + [(10.0, True)] * 3).median == 10.0


def test_a_run_that_diverges_is_never_there(tmp_path: Path) -> None:
    data = frame(tmp_path, {0: 3, 1: 4, 2: 5})
    for seed in (3, 4, 5, 6):
        write_run(tmp_path, seed=seed, epochs=10, epochs_done=1, state="diverged")
    data = load_collection(tmp_path).sections[0].epochs
    (found,) = time_to_target(data, "val_accuracy", 0.9, clock="epoch")
    assert (found.n, found.reached, found.open) == (7, 3, (False,) * 7)
    assert math.isinf(found.median)


def test_a_run_that_has_not_ended_is_censored(tmp_path: Path) -> None:
    frame(tmp_path, {0: 3, 1: 5, 2: 8})
    for seed in (3, 4, 5, 6):
        write_run(tmp_path, seed=seed, epochs=10, epochs_done=1, state="interrupted")
    data = load_collection(tmp_path).sections[0].epochs
    (found,) = time_to_target(data, "val_accuracy", 0.9, clock="epoch")
    assert found.open == (False,) * 3 + (True,) * 4
    assert found.median == 5.0


def test_the_median_with_open_runs_is_that_of_kaplan_and_meier() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        times = rng.integers(1, 8, size=9).astype(float)
        open_ = rng.random(9) < 0.3
        runs = [Arrival(t, not o, bool(o)) for t, o in zip(times, open_, strict=True)]
        censored = stats.CensoredData(uncensored=times[~open_], right=times[open_])
        survival = stats.ecdf(censored).sf
        below = np.flatnonzero(survival.probabilities <= 0.5 + 1e-12)
        expected = survival.quantiles[below[0]] if len(below) else math.inf
        assert median_time(runs) == expected


def hits(*times: float) -> list[Arrival]:
    return [Arrival(time, reached=True) for time in times]


def test_the_ratio_of_medians_is_paired_by_seed() -> None:
    # Seeds differ by a factor of 100; only pairing sees that one method always takes twice as long.
    ratio = ratio_of_medians(hits(2, 20, 200), hits(1, 10, 100))
    assert (ratio.n, ratio.value, ratio.low, ratio.high) == (3, 2.0, 2.0, 2.0)
    logs = np.log([2.0, 4.0, 3.0])
    low, high = stats.t.interval(0.95, 2, logs.mean(), stats.sem(logs))
    ratio = ratio_of_medians(hits(2, 40, 300), hits(1, 10, 100))
    assert ratio.value == 4.0
    assert (ratio.low, ratio.high) == (pytest.approx(np.exp(low)), pytest.approx(np.exp(high)))
    with pytest.raises(ValueError, match="paired by seed, got 3 and 2"):
        ratio_of_medians(hits(1, 2, 3), hits(1, 2))


def test_medians_of_zero() -> None:
    assert ratio_of_medians(hits(0, 0, 0), hits(0, 0, 0)).value == 1.0
    above = ratio_of_medians(hits(3, 4, 5), hits(0, 0, 0))
    assert (above.value, above.low, above.high) == (math.inf,) * 3
    below = ratio_of_medians(hits(0, 0, 0), hits(3, 4, 5))
    assert (below.value, below.low, below.high) == (0.0, 0.0, 0.0)
    mixed = ratio_of_medians(hits(0, 2, 2), hits(0, 1, 1))
    assert mixed.value == 2.0
    assert 0.0 < mixed.low < mixed.high < math.inf


def test_a_miss_is_known_from_one_side_only() -> None:
    missed = Arrival(20.0, reached=False)
    of_misses = ratio_of_medians([missed, *hits(20, 20)], hits(10, 10, 10))
    assert (of_misses.value, of_misses.low, of_misses.high) == (2.0, 2.0, math.inf)
    to_misses = ratio_of_medians(hits(10, 10, 10), [missed, *hits(20, 20)])
    assert (to_misses.value, to_misses.low, to_misses.high) == (0.5, 0.0, 0.5)
    both = ratio_of_medians([missed] * 3, [missed] * 3)
    assert math.isnan(both.value)
    assert (both.low, both.high) == (0.0, math.inf)
