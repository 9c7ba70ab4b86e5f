"""The NAPTS paper's seconds per epoch stand beside its problem, and beside no other."""

from pathlib import Path

import pytest

from benchmarks.made_runs import write_run
from napts.analysis import Table, comparison_tables, load_collection
from napts.papers.epoch_times import PAPER_SECONDS

SECONDS = {"TR": 2.0, "APTS": 8.0, "NAPTS": 5.5, "Adam": 1.0}
TITLE = "Time per epoch beside the NAPTS paper"


def tables(root: Path, workload: str) -> dict[str, Table]:
    for method, seconds in SECONDS.items():

        def change(row, seconds=seconds):
            return {**row, "train_seconds": seconds if row["epoch"] else 0.0}

        write_run(root, method=method, workload=workload, change=change)
    (section,) = load_collection(root).sections
    return {table.title: table for table in comparison_tables(section.runs)}


def test_beside_the_papers_problem(tmp_path: Path) -> None:
    beside = {row[0]: list(row) for row in tables(tmp_path, "cifar10-cnn")[TITLE].rows}
    assert beside["NAPTS"] == ["NAPTS", "1", "5.50", "115.88", "2.75", "2.16", "0.688", "0.69"]
    assert beside["Adam"][3] == "–"


@pytest.mark.parametrize("workload", ["mnist-fcnn", "cifar10-mini", "somebodys-own"])
def test_not_beside_another_one(tmp_path: Path, workload: str) -> None:
    assert TITLE not in tables(tmp_path, workload)


def test_paper_ratios_are_those_of_the_printed_table() -> None:
    assert PAPER_SECONDS["APTSA"] / PAPER_SECONDS["APTS"] == pytest.approx(0.901, abs=5e-4)
    assert PAPER_SECONDS["NAPTS"] / PAPER_SECONDS["TR"] == pytest.approx(2.16, abs=5e-3)
