"""The README is short, its code runs, and its numbers are those of the committed records."""

import re

import pytest

from napts.analysis import comparison, load_collection
from napts.experiment.methods.registry import method_names
from tests.helpers.installed import ROOT

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
RECORDS = ROOT / "reports" / "records"
TOLD = {"Adam, default rate": "Adam 0.001", "NAPTS light (ours)": "NAPTS light"}
"""What a row is called in the records, where that is something else."""


def rows() -> dict[str, list[str]]:
    """The cells of the table of the paper's problem, by its first column."""
    lines = TEXT[TEXT.index("| 8 epochs") :].split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {TOLD.get(name, name): rest for name, *rest in cells}


def numbers(cell: str) -> list[float]:
    return [float(number) for number in re.findall(r"[\d.]+", cell)]


def frame(experiment: str):
    (section,) = load_collection(RECORDS / f"{experiment}.runs.jsonl.gz").sections
    return comparison(section.runs).set_index("label")


def test_it_has_at_most_200_lines():
    assert len(TEXT.splitlines()) <= 200


def test_its_python_runs(capsys):
    (block,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(compile(block, "README.md", "exec"), {})
    losses = [float(line.split()[0]) for line in capsys.readouterr().out.splitlines()]
    assert losses[-1] < losses[0]


def test_the_numbers_of_the_full_size_problem_are_those_of_the_records():
    runs, alone = frame("cifar10-cnn"), frame("cifar10-cnn-seconds")
    assert len(rows()) == 6
    for name, (seconds, rejections, loss, accuracy) in rows().items():
        run = runs.loc[name]
        assert run["n"] == 5
        for cell, column, scale in (
            (loss, "final_train_loss", 1.0),
            (accuracy, "final_val_accuracy", 100.0),
        ):
            found = [run[f"{column}_{kind}"] * scale for kind in ("mean", "min", "max")]
            assert numbers(cell) == pytest.approx(found, rel=0.006)
        assert numbers(seconds) == pytest.approx(
            [alone.loc[name, "seconds_per_epoch_mean"]], rel=0.02
        )
        if rejections != "–":
            found = [run[f"rejections_per_batch_{kind}"] for kind in ("mean", "min", "max")]
            assert numbers(rejections) == pytest.approx(found, rel=0.02)


def test_every_method_of_ours_has_its_line():
    table = TEXT[TEXT.index("## The methods") :].split("\n## ")[0]
    named = set(re.findall(r"`(\w+)`", table))
    others = {"Adam", "SGD", "LBFGS", "DoG"}
    assert set(method_names()) - others - named == set()
