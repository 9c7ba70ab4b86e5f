"""Reports on tuning studies, calibrations and claims, and their figures."""

from pathlib import Path

import pandas as pd
import pytest

from napts.analysis import load_collection
from napts.analysis.ablation import window_frame
from napts.analysis.profiles import performance_profiles, targets, times_to
from napts.plotting import render
from napts.plotting.drawings import calibrations, tuning_studies
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
        *("claims.md", "claims.txt", "target-digits-cnn.pdf", "acceptance-digits-cnn.svg"),
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
    assert names == ["defaults", "window=0", "window=10"]
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
