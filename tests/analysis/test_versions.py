"""Runs of versions whose results differ are never averaged; all others are."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.made_runs import write_run
from napts._version import __version__
from napts.analysis import load_collection, versions
from napts.analysis.versions import BREAKS, Break, apart_by_version
from napts.records import load_run

BREAK = Break("0.3.0", ("NAPTS",), "another default")


@pytest.fixture
def of_version(tmp_path: Path):
    def make(version: str | None, method: str = "NAPTS", seed: int = 0):
        run = load_run(write_run(tmp_path / str(version), method=method, seed=seed))
        return replace(run, environment={**run.environment, "napts": version})

    return make


def labels(*runs, breaks=(BREAK,)):
    return [run.label for run in apart_by_version(runs, breaks)]


def test_runs_from_before_a_break_get_a_label_of_their_own(of_version):
    old = "NAPTS (before napts 0.3.0)"
    assert labels(of_version("0.2.9"), of_version("0.3.0")) == [old, "NAPTS"]
    assert labels(of_version("0.10.0"), of_version("0.2.0")) == ["NAPTS", old]
    assert labels(of_version(None), of_version("0.3.1")) == [old, "NAPTS"]


def test_nothing_changes_on_one_side_or_for_other_methods(of_version):
    assert labels(of_version("0.1.0"), of_version("0.2.0")) == ["NAPTS", "NAPTS"]
    assert labels(of_version("0.3.0"), of_version("1.0.0")) == ["NAPTS", "NAPTS"]
    assert labels(of_version("0.1.0", "TR"), of_version("0.3.0", "TR")) == ["TR", "TR"]


def test_every_break_counts(of_version):
    breaks = (BREAK, Break("0.5.0", None, "another loss"))
    runs = [of_version(version) for version in ("0.2.0", "0.4.0", "0.5.0")]
    assert labels(*runs, breaks=breaks) == [
        "NAPTS (before napts 0.3.0)",
        "NAPTS (before napts 0.5.0)",
        "NAPTS",
    ]


def test_collections_keep_them_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(versions, "BREAKS", (Break(__version__, None, "all"),))
    for seed, version in ((0, __version__), (1, "0.0.1")):
        folder = write_run(tmp_path, method="TR", seed=seed)
        file = folder / "environment.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "napts": version}))
    (section,) = load_collection(tmp_path).sections
    assert {run.label for run in section.records} == {"TR", f"TR (before napts {__version__})"}


def test_breaks_are_releases_in_order_and_in_the_changelog():
    changelog = (Path(__file__).parents[2] / "CHANGELOG.md").read_text(encoding="utf-8")
    numbers = [tuple(map(int, b.version.split("."))) for b in BREAKS]
    assert numbers == sorted(numbers)
    assert all(f"## [{b.version}]" in changelog and b.reason in changelog for b in BREAKS)
