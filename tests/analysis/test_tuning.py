"""Tuning studies: who wins, what it cost, what fewer trials would have given."""

import itertools
import math
from pathlib import Path

import pytest

from benchmarks.made_runs import Row, write_run
from napts.analysis import load_collection
from napts.analysis.tuning import Tuning, tuning_of
from napts.analysis.tuning_tables import tuning_data, tuning_table
from napts.plotting.drawings import tuning_studies, untuned_costs
from napts.records.metric import ACCURACY, Metric


def study(root: Path, scores: dict[float, list[float | None]]) -> Tuning:
    """Adam with several learning rates; accuracy by seed, None for a run that diverged."""

    def change(row: Row) -> Row:
        return {**row, "cpu_seconds": 2.0, "train_seconds": 3.0}

    for lr, by_seed in scores.items():
        for seed, score in enumerate(by_seed):
            write_run(
                root,
                method="Adam",
                seed=seed,
                epochs=5,
                experiment="tune-digits-cnn-Adam",
                options={"lr": lr, "eps": 1e-8},
                label=f"Adam lr={lr:g}",
                change=change,
                state="done" if score is not None else "diverged",
                final={"val_accuracy": score or 0.0, "val_loss": 1 - (score or 0.0)},
            )
    (tuning,) = load_collection(root).tunings
    return tuning


def test_the_best_mean_over_all_seeds_wins(tmp_path: Path) -> None:
    tuning = study(tmp_path, {0.1: [0.9], 0.01: [0.8, 0.85, 0.9], 0.001: [0.82, 0.8, 0.8]})
    assert tuning.best.options["lr"] == 0.01  # 0.1 was tried with one seed only
    assert tuning.best.mean == pytest.approx(0.85)
    assert [setting.options["lr"] for setting in tuning.screened(0)] == [0.1, 0.001, 0.01]
    assert tuning.varied == ("lr",)
    assert (tuning.runs, tuning.cpu_seconds) == (7, 7 * 5 * 2.0)


def test_a_setting_that_diverges_once_does_not_win(tmp_path: Path) -> None:
    tuning = study(tmp_path, {0.1: [0.99, None], 0.01: [0.5, 0.5]})
    assert tuning.best.options["lr"] == 0.01
    assert min(setting.mean for setting in tuning.settings) == -math.inf
    assert "(1 failed or diverged)" in tuning_table(tuning).notes[0]


def test_losses_are_tuned_downwards(tmp_path: Path) -> None:
    study(tmp_path, {0.1: [0.9], 0.01: [0.8]})
    tuning = tuning_of(load_collection(tmp_path).records, "val_loss")
    assert tuning.best.options["lr"] == 0.1
    assert tuning.value(tuning.best.mean) == pytest.approx(0.1)
    with pytest.raises(ValueError, match="metric: found f1, allowed: val_accuracy"):
        tuning_of(load_collection(tmp_path).records, "f1")


def test_expected_best_of_random_draws(tmp_path: Path) -> None:
    values = [0.5, 0.7, 0.9]
    tuning = study(tmp_path, {10.0**-i: [v] for i, v in enumerate(values)})
    expected = tuning.expected_best()
    for draws in (1, 2, 3):
        brute = [max(drawn) for drawn in itertools.product(values, repeat=draws)]
        assert expected[draws - 1] == pytest.approx(sum(brute) / len(brute))


def test_failed_settings_pull_the_expectation_down(tmp_path: Path) -> None:
    tuning = study(tmp_path, {1.0: [None], 0.1: [0.5], 0.01: [0.9]})
    assert tuning.expected_best()[0] == pytest.approx((0.5 + 0.5 + 0.9) / 3)


def test_the_collection_knows_what_is_tuned(tmp_path: Path) -> None:
    study(tmp_path, {0.1: [0.9], 0.01: [0.8]})
    collection = load_collection(tmp_path)
    assert collection.of_kind("comparison") == []
    assert collection.tuned("digits-cnn")["Adam"]["lr"] == 0.1
    assert collection.tuned("mnist-fcnn") == {}


def test_data_for_scripts(tmp_path: Path) -> None:
    data = tuning_data(study(tmp_path, {0.1: [0.9, 0.8], 0.01: [None, 0.7]}))
    assert data["best"] == {"lr": 0.1}
    assert data["finalists"][1]["by_seed"] == {"0": None, "1": 0.7}


def test_studies_for_two_metrics_stand_side_by_side(tmp_path: Path) -> None:
    for metric, values in ((ACCURACY, (0.9, 0.8)), (Metric("f1", "max"), (0.5, 0.6))):
        for lr, value in zip((0.1, 0.01), values, strict=True):
            write_run(
                tmp_path, method="Adam", experiment="tune-digits-cnn-Adam", label=f"Adam lr={lr:g}",
                options={"lr": lr}, workload_options={"part": metric.name}, metric=metric,
                final={metric.column("val"): value},
            )  # fmt: skip
    collection = load_collection(tmp_path)
    assert collection.tuned("digits-cnn", ACCURACY)["Adam"]["lr"] == 0.1
    assert collection.tuned("digits-cnn", Metric("f1", "max"))["Adam"]["lr"] == 0.01
    assert collection.tuned("digits-cnn", Metric("f1", "min")) == {}
    with pytest.raises(ValueError, match=r"tuned for several metrics: accuracy \(max\), f1 \(max"):
        collection.tuned("digits-cnn")


def test_several_methods_in_one_study_are_tuned_each_by_itself(tmp_path: Path) -> None:
    """The best setting of all is that of SGD, and no options of Adam."""
    for method, lr, value in (("Adam", 0.1, 0.5), ("Adam", 0.2, 0.7), ("SGD", 0.3, 0.9)):
        write_run(
            tmp_path, method=method, workload="digits-cnn", experiment="rates", kind="tuning",
            options={"lr": lr, **({"momentum": 0.9} if method == "SGD" else {})}, epochs=1,
            final={"val_accuracy": value, "val_loss": 1.0, "train_loss": 1.0},
        )  # fmt: skip
    write_run(
        tmp_path, method="LBFGS", workload="digits-cnn", experiment="rates", kind="tuning",
        epochs=1, state="running",
    )  # fmt: skip
    collection = load_collection(tmp_path)
    assert [(t.method, t.runs) for t in collection.tunings] == [("Adam", 2), ("SGD", 1)]
    tuned = collection.tuned("digits-cnn")
    assert {method: options["lr"] for method, options in tuned.items()} == {"Adam": 0.2, "SGD": 0.3}
    (study,) = tuning_studies(collection)
    assert set(study.drawing.data["method"]) == {"Adam", "SGD"}


def test_what_is_not_tuned_costs_what_it_does_in_one_comparison(tmp_path: Path) -> None:
    write_run(tmp_path, method="Adam", experiment="rates", kind="tuning", options={"lr": 0.1})
    for experiment, methods, epochs in (("long", ("TR", "Adam"), 10), ("short", ("TR",), 2)):
        for method in methods:
            write_run(tmp_path, method=method, experiment=experiment, epochs=epochs)
    collection = load_collection(tmp_path)
    tuned = collection.of_kind("tuning")[0]
    (long,) = (s for s in collection.of_kind("comparison") if s.experiment == "long")
    cost = long.runs.set_index("method").loc["TR", "cpu_seconds_per_epoch"]
    assert untuned_costs(collection, tuned) == {"TR": pytest.approx(10 * cost)}
