"""How TTR stands beside its rivals: verdicts, tables and figures from made-up runs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.made_runs import write_run
from napts.analysis import load_collection
from napts.analysis.statistics import summarise
from napts.analysis.tables import bracketed, form_of, over_runs
from napts.papers.figures.untuned import (
    constant_frame,
    length_frame,
    profile_frame,
    profiles,
    untuned_drawings,
    untuned_files,
    untuned_parts,
)
from napts.papers.untuned import METHODS, finals, sensitivities, standings, untuned_tables
from napts.records.metric import Metric

ROOT = Path(__file__).parents[2]
PROBLEMS = {"blobs": None, "rows": Metric("rmse", "min")}


def _with_radius(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "radius": 0.01, "forwards": row["forwards"] + row["batches"] // 5}


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("untuned") / "records"
    for name, metric in PROBLEMS.items():
        for seed in (0, 1):
            shared: dict[str, Any] = {"seed": seed, "metric": metric, "epochs": 4}
            shared |= {"experiment": f"untuned-{name}"}
            write_run(root, method="TTR", change=_with_radius, **shared)
            if name == "blobs":
                write_run(root, method="STTR", change=_with_radius, **shared)
                fixed = {**shared, "label": "STTR, tuned radius"}
                write_run(root, method="STTR", options={"radius": 0.1}, **fixed)
            write_run(root, method="Adam", label="Adam, tuned", options={"lr": 0.01}, **shared)
            write_run(root, method="DoG", **shared)
            longer = {**shared, "epochs": 6}
            write_run(root, method="DoG", label="DoG, 1.5 budgets", **longer)
            shared["experiment"] = f"untuned-sensitivity-{name}"
            for options in ({}, {"gain": 1.5}, {"gain": 0.015}, {"caution": 0.13}):
                label = " ".join(["TTR", *(f"{k}={v}" for k, v in options.items())])
                every = {"caution": 1.3, "gain": 0.15, **options}
                write_run(root, method="TTR", options=every, label=label, **shared)
    return root


def test_verdicts(records: Path) -> None:
    found = {one.problem: one for one in standings(load_collection(records), "TTR")}
    assert list(found) == ["blobs", "rows"]
    blobs = found["blobs"]
    assert set(blobs.values) == {"STTR", "STTR, tuned radius", "TTR", "Adam, tuned", "DoG"}
    assert set(found["rows"].values) == {"TTR", "Adam, tuned", "DoG"}
    best = max(("Adam, tuned", "DoG"), key=lambda label: np.mean([*blobs.values[label].values()]))
    assert blobs.rival == best
    expected = [blobs.values["TTR"][s] - blobs.values[best][s] for s in (0, 1)]
    assert blobs.difference.mean == pytest.approx(np.mean(expected))
    assert blobs.difference.n == 2
    assert blobs.passes.value == pytest.approx(1 + 0.2 / 3)
    assert blobs.verdict in ("ahead", "level", "behind")
    signs = {"ahead": blobs.difference.low > 0, "behind": blobs.difference.high < 0}
    assert signs.get(blobs.verdict, not any(signs.values()))


def test_less_may_be_better(records: Path) -> None:
    """A difference is positive where TTR is better, whichever direction that is."""
    (one,) = [s for s in standings(load_collection(records), "TTR") if s.problem == "rows"]
    metric = one.section.metric
    own, rival = one.values["TTR"], one.values[one.rival]
    better = metric.better(float(np.mean([*own.values()])), float(np.mean([*rival.values()])))
    assert (one.difference.mean > 0) == better


def test_tables_and_figures(records: Path, tmp_path: Path) -> None:
    collection = load_collection(records)
    spectral, verdicts, values, _, differences = untuned_tables(collection)
    assert [row[0] for row in spectral.rows] == ["blobs"]
    assert spectral.title == "STTR beside the best rival of each problem"
    assert [row[0] for row in verdicts.rows] == ["blobs", "rows"]
    assert "of 2 problems" in verdicts.notes[0]
    labels = {"Adam, tuned", "STTR", "STTR, tuned radius", "TTR", "DoG"}
    assert set(list(values.columns)[2:]) == labels
    assert set(list(differences.columns)[2:]) == labels - {"TTR"}
    assert differences.notes[1].startswith("TTR against Adam, tuned: ahead ")
    names = [drawing.name for drawing in untuned_drawings(collection)]
    assert names == ["untuned-profile", "untuned-cost", "untuned-lengths", "untuned-sensitivity"]
    files = {path.name for path in untuned_files(collection, tmp_path, "command")}
    assert {"untuned.md", "untuned-profile.csv", "untuned-sensitivity.png"} <= files
    (part,) = untuned_parts(collection, "command")
    assert len(part.pictures) == 4


def test_the_profile(records: Path) -> None:
    found = standings(load_collection(records), "TTR")
    frame = profile_frame(found)
    assert len(frame) == 2 * 3 * 2 + 2 * 2  # the longer runs of DoG take the place of the others
    adam = frame[frame["label"] == "Adam, tuned"]
    assert np.isfinite(adam["passes"].to_numpy(float)).any()  # at least the median run gets there
    lines = {profile.label: profile for profile in profiles(frame)}
    assert set(lines) == {"TTR", "Adam, tuned", "DoG"}
    assert all(0 <= share <= 1 for line in lines.values() for share in line.solved)
    without = frame[(frame["label"] != "DoG") | (frame["problem"] == "rows")]
    assert {profile.label for profile in profiles(without)} == {"TTR", "Adam, tuned"}


def test_lengths_and_constants(records: Path) -> None:
    collection = load_collection(records)
    lengths = length_frame(standings(collection, "TTR"))
    assert len(lengths) == (2 + 1) * 2 * 4
    assert (lengths["radius"].to_numpy(float) > 0).all()
    assert set(lengths["adam"]) == {0.01}
    sections = sensitivities(collection, "TTR")
    assert not sensitivities(collection, "STTR")
    frame = constant_frame(sections, "TTR")
    assert set(frame["option"]) == {"", "gain", "caution"}
    assert set(frame[frame["option"] == "gain"]["value"]) == {1.5, 0.015}
    assert dict(zip(frame["option"], frame["default"], strict=True))["caution"] == 1.3
    assert [len(finals(section)) for section in sections] == [4, 4]


def test_nothing_to_tell(tmp_path: Path) -> None:
    write_run(tmp_path, method="Adam")
    collection = load_collection(tmp_path)
    assert untuned_tables(collection) == []
    assert list(untuned_parts(collection, "command")) == []
    assert untuned_files(collection, tmp_path / "out", "command") == []


@pytest.mark.parametrize("method", METHODS)
def test_the_page_says_what_the_committed_records_say(method: str) -> None:
    page = (ROOT / "docs" / "results" / "untuned.md").read_text(encoding="utf-8")
    found = standings(load_collection(ROOT / "reports" / "records-untuned"), method)
    assert len(found) == 9
    for one in found:
        form = form_of(one.section.metric)
        difference = one.difference
        told = bracketed(difference.mean, difference.low, difference.high, form)
        for number in (over_runs(summarise(list(one.values[method].values())), form), told):
            assert number in page, (one.problem, number)
