"""Frames, tables, targets and tuning of other metrics than accuracy, of either direction."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmarks.made_runs import Row, write_run
from napts.analysis import (
    Collection,
    Section,
    Table,
    comparison,
    comparison_tables,
    epochs_frame,
    load_collection,
    runs_frame,
    time_to_target,
)
from napts.analysis.measured import metric_of
from napts.analysis.outcome import by_outcome, outcome, worst
from napts.analysis.profiles import targets, times_to
from napts.analysis.tuning import measure_of, tuning_of
from napts.analysis.tuning_tables import tuning_table
from napts.records.metric import ACCURACY, LOSS, Metric

RMSE, R2 = Metric("rmse", "min"), Metric("r2", "max")
ERROR = Metric("error", "min", fraction=True)


def write(
    root: Path, metric: Metric, values: Mapping[str, list[Any]], state: str = "done", **options: Any
) -> Collection:
    """Write one run per method with these values of the metric after each epoch."""
    column = metric.column("val")
    for method, course in values.items():

        def change(row: Row, course: list[Any] = course) -> Row:
            return {**row, column: course[row["epoch"]]}

        write_run(
            root, method=method, workload="wine", experiment="wine", metric=metric, state=state,
            epochs=len(course) - 1, change=change, **options,
        )  # fmt: skip
    return load_collection(root)


def titled(section: Section, title: str) -> Table:
    (table,) = (t for t in comparison_tables(section.runs) if t.title == title)
    return table


def test_frames_carry_the_metric(tmp_path: Path) -> None:
    def two(row: Row) -> Row:
        return {**row, "val_mae": 0.5}

    write_run(tmp_path, metric=RMSE, change=two, epochs=2)
    records = load_collection(tmp_path).records
    epochs, runs = epochs_frame(records), runs_frame(records)
    assert metric_of(epochs) == metric_of(runs) == metric_of(epochs.iloc[:1]) == RMSE
    assert {"val_rmse", "val_mae"} <= set(epochs)
    assert {"final_val_rmse", "final_test_rmse", "final_test_mae"} <= set(runs)
    assert not [name for name in (*epochs, *runs) if "accuracy" in name]
    assert metric_of(epochs.iloc[:0]).name == "rmse"
    with pytest.raises(ValueError, match=r"different metrics: rmse \(min\), r2 \(max\)"):
        metric_of(pd.concat([epochs, epochs.assign(metric="r2", goal="max")]))


def test_loss_as_the_metric_has_no_columns_of_its_own(tmp_path: Path) -> None:
    write_run(tmp_path, metric=LOSS, epochs=2)
    (section,) = load_collection(tmp_path).sections
    frame = comparison(section.runs)
    assert len(set(frame.columns)) == len(frame.columns)
    outcome_table = titled(section, "Outcome")
    assert outcome_table.columns == ["method", "done", "train loss", "val. loss", "test loss"]
    assert "as the worst, an infinite loss." in outcome_table.notes[0]


@pytest.mark.parametrize(
    ("metric", "shown", "words"),
    [
        (RMSE, ["val. rmse", "test rmse"], "rmse ∞ and an infinite loss"),
        (R2, ["val. r2", "test r2"], "r2 -∞ and an infinite loss"),
        (
            ERROR,
            ["val. error %", "test error %"],
            "an error of 1 and an infinite loss",
        ),
        (ACCURACY, ["val. accuracy %", "test accuracy %"], "an accuracy of 0 and an infinite loss"),
    ],
)
def test_tables_name_the_metric_and_its_worst(
    tmp_path: Path, metric: Metric, shown: list[str], words: str
) -> None:
    write_run(tmp_path, metric=metric, seed=0, epochs=2)
    write_run(tmp_path, metric=metric, seed=1, epochs=2, state="diverged")
    (section,) = load_collection(tmp_path).sections
    (row,) = comparison(section.runs).to_dict("records")
    assert row[f"final_{metric.column('val')}_n"] == 2
    extreme = "max" if metric.goal == "min" else "min"
    assert row[f"final_{metric.column('val')}_{extreme}"] == metric.worst
    table = titled(section, "Outcome")
    assert list(table.columns[-2:]) == shown
    assert f"as the worst, {words}." in table.notes[0]
    assert ("%" in table.to_text()) == metric.fraction


def test_negative_and_infinite_values_stay(tmp_path: Path) -> None:
    write(tmp_path, R2, {"TR": [-50.0, -3.0, -1.5]})
    final = {"val_r2": "-inf", "test_r2": "-inf", "train_loss": 1.0}
    write_run(tmp_path, method="Adam", workload="wine", experiment="wine", metric=R2, final=final)
    (section,) = load_collection(tmp_path).sections
    frame = comparison(section.runs).set_index("label")
    assert frame["final_val_r2_mean"].to_dict() == {"TR": -1.5, "Adam": -math.inf}
    table = titled(section, "Outcome").to_text()
    assert "-1.50" in table
    assert "-∞" in table


def test_what_ended_badly_counts_as_the_worst_of_its_direction(tmp_path: Path) -> None:
    (section,) = write(tmp_path, R2, {"TR": [-1.0, 0.5]}, state="failed").sections
    assert by_outcome(section.runs, "final_val_r2") == [-math.inf]
    assert worst("test_rmse", RMSE) == worst("train_loss", R2) == math.inf
    assert outcome(0.5, "running", "val_r2", R2) != outcome(0.5, "running", "val_r2", R2)
    with pytest.raises(ValueError, match="val_mae: found no goal, allowed: max or min"):
        worst("val_mae", RMSE)


def test_time_to_a_target_follows_the_direction(tmp_path: Path) -> None:
    (section,) = write(tmp_path, RMSE, {"TR": [2.0, 1.0, 0.5], "Adam": [2.0, 1.5, 1.2]}).sections
    epochs = section.epochs.assign(val_mae=1.0)
    tr, adam = time_to_target(epochs, "val_rmse", 1.0, clock="epoch")
    assert (tr.label, tr.median, tr.reached) == ("TR", 1.0, 1)
    assert (adam.median, adam.reached, adam.censored) == (math.inf, 0, (True,))
    assert time_to_target(epochs, "val_mae", 1.0, clock="epoch", goal="min")[0].median == 0.0
    with pytest.raises(ValueError, match="val_mae: found no goal"):
        time_to_target(epochs, "val_mae", 1.0)


def test_targets_lie_between_the_first_epoch_and_the_best_end(tmp_path: Path) -> None:
    """An untrained network may be so bad that every share of the way from there is met at once."""
    courses = {"TR": [1e6, 3.0, 2.0], "NTR": [1e6, 2.0, 1.0], "Adam": [1e6, 1.0, 1.5]}
    (section,) = write(tmp_path, RMSE, courses).sections
    assert targets(section.epochs, [0.0, 0.5, 1.0]) == pytest.approx([2.0, 1.5, 1.0])
    times = times_to(section.epochs, [1.5], clock="epoch")
    met = {label: next(iter(by.values())) for label, by in times.items()}
    assert met == {"TR": math.inf, "NTR": 2.0, "Adam": 1.0}


def test_targets_of_runs_that_only_get_worse_start_before_training(tmp_path: Path) -> None:
    (section,) = write(tmp_path, R2, {"TR": [-4.0, 1.0, 0.0]}).sections
    assert targets(section.epochs, [0.0, 1.0]) == pytest.approx([-4.0, 0.0])


def test_targets_of_a_fraction_start_at_guessing(tmp_path: Path) -> None:
    (section,) = write(tmp_path, ERROR, {"TR": [0.9, 0.5, 0.1]}).sections
    assert targets(section.epochs, [0.0, 0.5]) == pytest.approx([0.9, 0.5])


def test_sections_have_metrics_of_their_own(tmp_path: Path) -> None:
    write_run(tmp_path, metric=RMSE, workload="wine", experiment="both", epochs=1)
    write_run(tmp_path, metric=R2, workload="beer", experiment="both", epochs=1)
    write_run(tmp_path, workload="digits-cnn", experiment="both", epochs=1)
    found = {section.slug: section.metric for section in load_collection(tmp_path).sections}
    assert found == {"beer": R2, "digits-cnn": ACCURACY, "wine": RMSE}


def test_runs_of_one_problem_with_two_metrics_are_not_mixed(tmp_path: Path) -> None:
    write_run(tmp_path, metric=RMSE, workload="wine", epochs=1)
    write_run(tmp_path, metric=R2, workload="wine", epochs=1, seed=1)
    found = {section.slug: section.metric for section in load_collection(tmp_path).sections}
    assert found == {"wine-r2": R2, "wine-rmse": RMSE}


def test_kinds_are_what_the_records_say(tmp_path: Path) -> None:
    write_run(tmp_path, experiment="tune-up", kind="comparison", epochs=1)
    write_run(tmp_path, experiment="search", kind="tuning", epochs=1)
    write_run(tmp_path, experiment="tune-digits-cnn-TR", method="TR", epochs=1)
    collection = load_collection(tmp_path)
    assert [s.experiment for s in collection.of_kind("comparison")] == ["tune-up"]
    assert {s.experiment for s in collection.of_kind("tuning")} == {"search", "tune-digits-cnn-TR"}


@pytest.mark.parametrize(("metric", "best"), [(RMSE, 0.1), (R2, 0.3)])
def test_tuning_chooses_by_the_metric_and_its_direction(
    tmp_path: Path, metric: Metric, best: float
) -> None:
    for lr, value in ((0.1, -2.0), (0.2, 1.0), (0.3, 3.0)):
        write_run(
            tmp_path, method="Adam", workload="wine", experiment="tune-wine-Adam", kind="tuning",
            metric=metric, options={"lr": lr}, epochs=1,
            final={metric.column("val"): value, "val_loss": value, "train_loss": 1.0},
        )  # fmt: skip
    write_run(
        tmp_path, method="Adam", workload="wine", experiment="tune-wine-Adam", kind="tuning",
        metric=metric, options={"lr": 9.0}, epochs=1, state="diverged",
    )  # fmt: skip
    (tuning,) = load_collection(tmp_path).tunings
    assert tuning.metric == metric.column("val")
    assert tuning.best.options["lr"] == best
    assert tuning.finalists[-1].options["lr"] == 9.0
    assert tuning.value(tuning.best.mean) == (-2.0 if metric == RMSE else 3.0)
    assert tuning_table(tuning).columns[1] == f"mean {metric.column('val')}"
    by_loss = tuning_of(load_collection(tmp_path).records, "val_loss")
    assert by_loss.best.options["lr"] == 0.1
    with pytest.raises(ValueError, match=f"found f1, allowed: {metric.column('val')}, val_loss"):
        measure_of("f1", metric)


def test_the_cost_of_a_target_is_a_table(tmp_path: Path) -> None:
    """Runs that stopped there have costs, those that ended without are the worst."""
    wanted = {"metric": "val_rmse", "value": 0.5, "goal": "min"}
    budget = {"seconds": 5.0, "target": wanted}
    counts = {"epoch": 3, "steps": 150, "samples": 9600, "passes": 30.0}
    costs = {**counts, "train_seconds": 2.0, "cpu_seconds": 1.0}
    note = {**wanted, "reached": True, "found": 0.4, **costs}
    missed = {**note, "reached": False}
    for method, seed, target, state in (
        ("TR", 0, note, "done"),
        ("TR", 1, {**note, "epoch": 5}, "done"),
        ("Adam", 0, note, "done"),
        ("Adam", 1, missed, "done"),
        ("SGD", 0, missed, "diverged"),
        ("SGD", 1, None, "interrupted"),
    ):
        write_run(
            tmp_path, metric=RMSE, method=method, seed=seed, state=state, epochs=2,
            budget=budget, target=target,
        )  # fmt: skip
    (section,) = load_collection(tmp_path).sections
    table = titled(section, "Cost of the target")
    assert [row[:3] for row in table.rows] == [
        ["TR", "2/2", "4.00 [3.00, 5.00]"],
        ["Adam", "1/2", "∞ [3.00, ∞]"],
        ["SGD", "0/1", "∞"],
    ]
    assert "Target: val_rmse <= 0.5." in table.notes[0]
    note_of_outcome = titled(section, "Outcome").notes
    assert "SGD, seed 1: interrupted after 2 epochs." in note_of_outcome


def test_methods_of_other_packages_come_last_and_by_name(tmp_path: Path) -> None:
    for method in ("torch.optim.AdamW", "Adam", "prodigyopt.Prodigy", "NAPTS", "5²-unknown"):
        write_run(tmp_path, method=method, epochs=1, metric=RMSE)
    labels = load_collection(tmp_path).sections[0].runs["label"].tolist()
    assert labels == ["NAPTS", "Adam", "5²-unknown", "prodigyopt.Prodigy", "torch.optim.AdamW"]


def test_all_metrics_have_a_table_where_there_are_others(tmp_path: Path) -> None:
    def two(row: Row) -> Row:
        return {**row, "val_mae": 0.5}

    for seed, state in enumerate(("done", "done", "diverged")):
        write_run(
            tmp_path, method="TR", metric=R2, change=two, epochs=2, seed=seed, state=state,
            final={"val_r2": 0.25, "test_r2": 0.5, "val_mae": 2.0 + seed, "test_mae": 4.0,
                   "val_loss": 1.0, "test_loss": 1.5},
        )  # fmt: skip
    (section,) = load_collection(tmp_path).sections
    (table,) = (t for t in comparison_tables(section.runs) if t.title == "All metrics")
    assert table.columns == ["method", "metric", "n", "validation", "test"]
    assert table.rows == [
        ["TR", "r2", "3", "-∞ [-∞, 0.250]", "-∞ [-∞, 0.500]"],
        ["TR", "mae", "2", "2.50 [2.00, 3.00]", "4.00"],
        ["TR", "loss", "3", "∞ [1.00, ∞]", "∞ [1.50, ∞]"],
    ]
    assert "compared by r2" in table.notes[0]
    assert comparison(section.runs)["final_test_mae_n"].tolist() == [2]


def test_one_metric_needs_no_further_table(tmp_path: Path) -> None:
    write_run(tmp_path, metric=R2, epochs=2)
    (section,) = load_collection(tmp_path).sections
    assert [t.title for t in comparison_tables(section.runs) if "metric" in t.title] == []
