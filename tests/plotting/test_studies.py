"""Reports on tuning studies, calibrations and claims, and their figures."""

from pathlib import Path

import pandas as pd
import pytest

from benchmarks.made_runs import Row, write_run
from napts.analysis import load_collection
from napts.analysis.profiles import performance_profiles, targets, times_to
from napts.papers.figures.calibration import calibrations
from napts.papers.figures.window import window_figure, window_frame
from napts.plotting import render
from napts.plotting.drawings import tuning_studies
from napts.plotting.style import style
from napts.plotting.targets import target_figure
from tests.helpers.studies import write_studies


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("studies")
    write_studies(root)
    return root


def test_each_report_writes_its_files(records: Path, tmp_path: Path) -> None:
    paths = render(["tuning", "calibration", "claims", "compare"], records, tmp_path)
    names = {path.name for path in paths}
    assert {
        *("tuning-digits-cnn.svg", "calibration.png", "window-calibration.csv"),
        *("claims.md", "claims.txt", "target-digits-cnn.pdf", "radius-digits-cnn.svg"),
    } <= names
    assert not any("tune-" in name for name in names), "a tuning study is no comparison"
    claims = pd.read_csv(tmp_path / "claims.csv", comment="#")
    assert set(claims["claim"]) >= {"N1", "A1", "W1"}
    assert "napts report claims" in (tmp_path / "claims.txt").read_text()


def test_tuning_figure_shows_what_was_and_was_not_tuned(records: Path) -> None:
    (study,) = tuning_studies(load_collection(records))
    assert [tuning.method for tuning in study.tunings] == ["Adam", "SGD"]
    best, cost = study.drawing.figure().axes
    labels = [text.get_text() for text in cost.get_yticklabels()]
    assert labels == ["TR", "NTR", "APTS", "APTSA", "NAPTS", "Adam", "SGD"]
    assert "Adam (3 settings)" in [text.get_text() for text in best.get_legend().get_texts()]
    assert study.drawing.data["seed"].tolist().count(0) == 5


def test_calibration_figure_has_a_row_per_cell(records: Path) -> None:
    (study,) = calibrations(load_collection(records))
    grid, windows = (drawing.figure() for drawing in study.drawings)
    names = [text.get_text().split("  (")[0] for text in grid.axes[0].get_yticklabels()]
    ordered = [cell.name for cell in study.cells]
    assert names == [f"winner: {ordered[0]}", *ordered[1:]]
    assert sorted(ordered) == ["defaults", "window=0", "window=10"]
    scores = [(cell.score, cell.accuracy) for cell in study.cells]
    assert scores == sorted(scores, reverse=True)
    bold = [text.get_fontweight() == "bold" for text in grid.axes[0].get_yticklabels()]
    assert bold == [True, False, False]
    assert len(windows.axes) == 3


def test_window_frame_keeps_what_differs_in_the_window_alone(records: Path) -> None:
    (section,) = load_collection(records).of_kind("calibration")
    frame = window_frame(section)
    assert set(frame["method"]) == {"NTR", "NAPTS"}
    assert frame.groupby("method")["window"].nunique().tolist() == [3, 3]
    (comparison,) = load_collection(records).of_kind("comparison")
    assert not len(window_frame(comparison))


def test_profiles_rise_to_the_share_that_was_met(records: Path) -> None:
    epochs = load_collection(records).of_kind("comparison")[0].epochs
    wanted = targets(epochs)
    assert wanted == sorted(wanted)
    times = times_to(epochs, wanted)
    profiles = performance_profiles(epochs, wanted)
    assert [profile.label for profile in profiles] == list(times)
    fastest = [profile for profile in profiles if len(profile.factors) and profile.factors[0] == 1]
    assert fastest, "somebody is fastest"
    for profile in profiles:
        met = sum(t < float("inf") for t in times[profile.label].values())
        assert len(profile.factors) == met
        assert (profile.factors >= 1).all()
        assert profile.solved[-1:].tolist() in ([], [met / profile.problems])


def rising(to: float):
    """Accuracy that rises to a value in ten epochs of one CPU second."""

    def change(row: Row) -> Row:
        accuracy = 0.1 + (to - 0.1) * row["epoch"] / 10
        return {**row, "val_accuracy": accuracy, "cpu_seconds": float(row["epoch"] > 0)}

    return change


def test_runs_that_ended_badly_set_no_targets_and_solve_none(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_run(tmp_path, method="TR", seed=seed, change=rising(0.5))
        write_run(tmp_path, method="NAPTS", seed=seed, change=rising(0.9))
    write_run(tmp_path, method="NAPTS", seed=2, change=rising(0.9), state="diverged", epochs_done=5)
    write_run(tmp_path, method="TR", seed=2, change=rising(0.5))
    epochs = load_collection(tmp_path).sections[0].epochs
    # NAPTS ends at (0.9 + 0.9 + 0) / 3.
    assert targets(epochs, [1.0]) == pytest.approx([0.6])
    times = times_to(epochs, [0.55])
    assert times["NAPTS"] == {(0, 0.55): 6.0, (1, 0.55): 6.0, (2, 0.55): float("inf")}
    profiles = {p.label: p for p in performance_profiles(epochs, [0.55])}
    # Nobody meets the target with seed 2, and it counts.
    assert profiles["NAPTS"].solved.tolist() == pytest.approx([1 / 3, 2 / 3])
    assert profiles["TR"].solved.tolist() == []
    with style():
        target_figure(epochs)


def test_what_is_not_known_yet_is_no_problem_of_a_profile(tmp_path: Path) -> None:
    for seed, state in ((0, "done"), (1, "running")):
        for method in ("TR", "NAPTS"):
            done = 3 if state == "running" else 10
            write_run(
                *(tmp_path,),
                **{"method": method, "seed": seed, "state": state, "epochs_done": done},
                change=rising(0.9),
            )
    epochs = load_collection(tmp_path).sections[0].epochs
    times = times_to(epochs, [0.2, 0.5])["TR"]
    assert times[1, 0.2] == 2.0
    assert times[1, 0.5] != times[1, 0.5]
    assert {p.problems for p in performance_profiles(epochs, [0.2, 0.5])} == {3}
    with style():
        target_figure(epochs)


def test_a_window_with_a_run_that_diverged_has_no_mean_loss(tmp_path: Path) -> None:
    for window in (0, 5):
        for seed in (0, 1):
            bad = window == 5 and seed == 1
            write_run(
                *(tmp_path,),
                **{"method": "NAPTS", "seed": seed, "options": {"window": window}},
                label="NAPTS" if window == 5 else f"NAPTS window={window}",
                final={"train_loss": 0.5, "val_accuracy": 0.8},
                state="diverged" if bad else "done",
            )
    frame = window_frame(load_collection(tmp_path).sections[0]).set_index(["window", "seed"])
    assert frame.loc[(5, 1), "final_train_loss"] == float("inf")
    assert frame.loc[(5, 1), "final_val_accuracy"] == 0.0
    with style():
        figure = window_figure(frame.reset_index())
    loss, accuracy = figure.axes[1:]
    (cross,) = [line for line in loss.get_lines() if line.get_marker() == "x"]
    assert len(cross.get_xydata()) == 1
    means = next(line for line in accuracy.get_lines() if len(line.get_xydata()) == 2)
    assert list(means.get_ydata()) == pytest.approx([80.0, 40.0])
