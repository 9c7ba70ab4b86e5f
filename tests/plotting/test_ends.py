"""Runs that a target or a limit ended: what figures, tables and the page say of them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.made_runs import write_run
from napts.analysis import Section, comparison_tables, load_collection
from napts.papers.figures.figure2 import figure2_drawings
from napts.plotting import render
from napts.plotting.compare import cost_figure
from napts.plotting.contents import budget_in_words
from napts.plotting.curves import last_of_all
from napts.plotting.targets import target_figure
from napts.tracking.payload import run_tags


def write(root: Path, method: str, ends: list[int], ended_by: str, **budget: Any) -> Section:
    """Write one run per seed that ended after so many epochs."""
    for seed, done in enumerate(ends):
        path = write_run(root, method=method, seed=seed, epochs=done, budget=budget)
        status = json.loads((path / "status.json").read_text())
        (path / "status.json").write_text(json.dumps({**status, "ended_by": ended_by}))
    return load_collection(root).sections[0]


def test_a_mean_ends_where_one_run_has_ended(tmp_path: Path) -> None:
    section = write(tmp_path, "TR", [3, 5, 4], "seconds", seconds=60)
    assert last_of_all(section.epochs) == 3
    figure = cost_figure(section.epochs)
    (mean, *thin) = figure.axes[0].get_lines()
    assert len(np.asarray(mean.get_xdata())) == 3
    assert sorted(len(np.asarray(line.get_xdata())) for line in thin) == [1, 2, 3]
    caption = figure._supxlabel.get_text().replace("\n", " ")  # pyright: ignore
    assert "seeds that went on where another one ended" in caption


def test_a_mean_goes_on_while_runs_go_on(tmp_path: Path) -> None:
    write(tmp_path, "TR", [4, 4], "epochs", epochs=4)
    write_run(tmp_path, method="TR", seed=2, budget={"epochs": 4}, epochs_done=2, state="running")
    (section,) = load_collection(tmp_path).sections
    assert last_of_all(section.epochs) == np.inf


def test_tables_page_and_mlflow_name_the_limit(tmp_path: Path) -> None:
    write(tmp_path, "TR", [3, 5], "passes", passes=40, seconds=60)
    section = write(tmp_path, "Adam", [4, 4], "passes", passes=40, seconds=60)
    note = "Ended by the limit in passes, after so many epochs: TR 3 to 5; Adam 4."
    (outcome,) = (t for t in comparison_tables(section.runs) if t.title == "Outcome")
    assert note in outcome.notes
    assert run_tags(section.records[0], "done")["napts.ended_by"] == "passes"
    (page,) = render("html", tmp_path, tmp_path / "out")
    assert "Budget: 40 passes or 60 seconds, batches of 1000." in page.read_text()


def test_a_target_is_no_limit(tmp_path: Path) -> None:
    target = {"metric": "val_accuracy", "value": 0.9, "goal": "max"}
    section = write(tmp_path, "TR", [3], "target", epochs=1200, target=target)
    assert not [note for note in comparison_tables(section.runs)[2].notes if "Ended by" in note]
    words = budget_in_words(section.records[0].spec["budget"])
    assert words == "1,200 epochs, until val_accuracy >= 0.9, batches of 1000"
    assert budget_in_words({"passes": 2.5, "batch_size": "full"}).startswith("2.5 passes, all")


@pytest.mark.parametrize(("method", "panels"), [("TR", 4), ("Adam", 2)])
def test_no_panel_is_empty(tmp_path: Path, method: str, panels: int) -> None:
    section = write(tmp_path, method, [3, 3], "epochs", epochs=3)
    (drawing,) = figure2_drawings(section)
    figure = drawing.figure()
    assert len(figure.axes) == panels
    assert all(axes.lines or axes.patches for axes in figure.axes)


def test_times_to_targets_have_plain_labels(tmp_path: Path) -> None:
    write(tmp_path, "TR", [9, 9], "epochs", epochs=9)
    figure = target_figure(write(tmp_path, "LBFGS", [9, 9], "epochs", epochs=9).epochs)
    figure.canvas.draw()
    times, profile = figure.axes
    assert "log scale" in times.get_ylabel()
    labels = [*times.get_yticklabels(), *profile.get_xticklabels()]
    assert not [label.get_text() for label in labels if "times" in label.get_text()]
