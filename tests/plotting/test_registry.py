"""A report of one's own: its figures and tables stand among those of the package."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from benchmarks.made_runs import write_run
from napts.analysis import Section, Table
from napts.plotting import REPORTS, Report, register_report, render
from napts.plotting.drawings import Drawing
from napts.plotting.page import Body
from napts.plotting.provenance import provenance_of_all
from napts.plotting.registry import ordered

ROOT = Path(__file__).parents[2]


def own_drawings(section: Section) -> list[Drawing]:
    frame = section.runs.filter(items=["label", "seed"])
    return [Drawing(f"mine-{section.slug}", "My figure", section, frame, Figure)]


def own_tables(section: Section) -> list[Table]:
    return [Table("My table", ["method"], [["NAPTS"]])]


def own_parts(collection, command):
    origin = provenance_of_all(collection, command)
    yield Body("mine", "My part", "A lead.", [], [], "", origin)


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> Report:
    len(REPORTS)
    monkeypatch.setattr(REPORTS, "_entries", dict(REPORTS))
    report = Report("mine", "my own", 25, own_drawings, own_tables, own_parts)
    register_report(report)
    return report


def test_it_is_written_and_stands_on_the_page(report: Report, tmp_path: Path) -> None:
    write_run(tmp_path / "records", method="NAPTS")
    names = {path.name for path in render("mine", tmp_path / "records", tmp_path / "out")}
    assert names == {f"mine-digits-cnn.{kind}" for kind in ("pdf", "svg", "png", "csv")}
    (page,) = render("html", tmp_path / "records", tmp_path / "out")
    text = page.read_text()
    places = [text.index(f'"{anchor}"') for anchor in ("claims", "mine", "digits-cnn")]
    assert places == sorted(places)
    assert text.index("Time per epoch") < text.index("My table")
    assert text.index("My figure") < text.index("Rejected steps by phase")


def test_reports_have_an_order_and_names_of_their_own(report: Report) -> None:
    names = [report.name for report in ordered()]
    assert names[:3] == ["claims", "table", "mine"]
    assert names[-1] == "html"
    with pytest.raises(ValueError, match="reports: 'mine' is registered already"):
        register_report(Report("mine", "another", 26))


FILE = """
from napts.analysis import Table
from napts.plotting import Report, register_report

def tables(section):
    return [Table("Of a file", ["runs"], [[str(len(section.records))]])]

register_report(Report("of-a-file", "a table", 25, tables=tables))
"""


def test_a_file_that_is_imported_brings_one(tmp_path: Path) -> None:
    write_run(tmp_path / "records", method="NAPTS")
    (tmp_path / "own_report.py").write_text(FILE)
    command = [sys.executable, "-m", "napts.cli", "report", "html", "records", "--out", "out"]
    command += ["--import", "own_report.py"]
    place = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": str(ROOT)}}
    subprocess.run(command, check=True, **place)
    assert "Of a file" in (tmp_path / "out" / "report.html").read_text()
