"""Tables that are printed from records, and records that are packed, by commands."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from benchmarks.made_runs import write_comparison, write_run
from napts.cli.commands import main
from napts.plotting.registry import ordered


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("show") / "records"
    write_comparison(root, seeds=3, methods=("TR", "APTS", "NAPTS", "Adam"), epochs=4)
    return root


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_cost_of_a_target_with_a_ratio(records: Path) -> None:
    found = call("show", "target", records, "digits-cnn", 0.2, "Adam", "--markdown")
    assert found.exit_code == 0, found.output
    rows = [line.strip("| ").split(" | ") for line in found.output.splitlines() if line[:1] == "|"]
    assert rows[0][-2:] == ["CPU s vs Adam", "final accuracy %"]
    by_name = {row[0]: row for row in rows[2:]}
    assert set(by_name) == {"TR", "APTS", "NAPTS", "Adam"}
    assert by_name["NAPTS"][1:3] == ["3", "3"]
    assert by_name["NAPTS"][-2].endswith("(n = 3)")
    assert by_name["Adam"][-2] == "–"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("target", "nowhere", 0.2), "workload nowhere: no comparison on it, but on digits-cnn"),
        (("target", "digits-cnn", 0.2, "Momentum"), "rival Momentum: no runs of it, but of"),
        (("target", "digits-cnn", "nan"), "target: found nan, allowed: a finite number"),
        (("levels", "nowhere"), "workload nowhere: found 0 comparisons, allowed: one"),
        (("levels", "digits-cnn"), "no runs of TR order 2"),
    ],
)
def test_what_is_not_there_is_named(records: Path, arguments: tuple, words: str) -> None:
    kind, *others = arguments
    found = call("show", kind, records, *others)
    assert found.exit_code == 2
    assert words in found.stderr
    assert len(found.stderr.splitlines()) == 1


def test_two_comparisons_are_not_taken_for_one(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_run(tmp_path, experiment=name, epochs=2)
    found = call("show", "target", tmp_path, "digits-cnn", 0.2)
    assert found.exit_code == 2, found.output
    assert "found first, second, allowed: records of one of them" in found.stderr


def test_ratios_are_of_labels_and_not_of_all_runs_of_a_method(tmp_path: Path) -> None:
    def rejecting(count: int):
        return lambda row: {**row, "rejections": count if row["epoch"] else 0}

    for seed in (0, 1, 2):
        for method, label, count in (
            ("NAPTS", "NAPTS", 1),
            ("NAPTS", "NAPTS window 0", 4),
            ("APTS", "APTS", 4),
        ):
            options = {"window": 0} if "window" in label else {}
            write_run(
                tmp_path,
                method=method,
                label=label,
                seed=seed,
                epochs=2,
                options=options,
                change=rejecting(count),
            )
    found = call("show", "ratios", tmp_path, "--markdown")
    (line,) = (line for line in found.output.splitlines() if "rejections_per_batch" in line)
    assert "| 0.250 |" in line


def test_level_ratios_pair_seeds_and_not_places(tmp_path: Path) -> None:
    def working(units: float):
        def change(row):
            return {**row, "work_units": units if row["epoch"] else 0.0, "work_level_1": units}

        return change

    options = {"order": 2, "pairs": 10}
    for seeds, label, units in (((1, 2, 3), "TR order 2", 1.0), ((2, 3), "NTR order 2", 2.0)):
        for seed in seeds:
            write_run(
                tmp_path,
                method=label.split()[0],
                label=label,
                seed=seed,
                workload="digits-resnet",
                epochs=3,
                options=options,
                change=working(units),
            )
    found = call("show", "levels", tmp_path)
    assert found.exit_code == 0, found.stderr
    lines = [" ".join(line.split()) for line in found.output.splitlines()]
    assert "NTR order 2 work units 2 –, 2.00, 2.00" in lines


def test_ratios_and_rejected_steps(records: Path) -> None:
    ratios = call("show", "ratios", records)
    assert ratios.exit_code == 0
    assert "NAPTS/APTS  3" in ratios.output
    rejected = call("show", "rejected", records)
    assert rejected.exit_code == 0
    assert rejected.output.splitlines()[-2].split()[:2] == ["all", "all"]
    assert "Steps of which no trial was accepted" in rejected.output
    assert call("show", "cells", records).exit_code == 0


def test_packed_records_say_the_same(records: Path, tmp_path: Path) -> None:
    packed = call("records", "pack", records, tmp_path / "kept")
    assert packed.exit_code == 0
    (file,) = map(Path, packed.output.split())
    unpacked = call("records", "unpack", file, tmp_path / "again")
    assert unpacked.output == f"{file}: 12 runs\n"
    condensed = call("records", "condense", records, tmp_path / "condensed")
    assert len(condensed.output.splitlines()) == 12
    said = {
        call("show", "ratios", where).output
        for where in (records, tmp_path / "kept", tmp_path / "again", tmp_path / "condensed")
    }
    assert len(said) == 1


@pytest.mark.parametrize("command", ["pack", "condense", "unpack"])
def test_records_that_are_not_there_are_named(command: str, tmp_path: Path) -> None:
    found = call("records", command, tmp_path / "none", tmp_path / "out")
    assert found.exit_code == 2
    assert len(found.stderr.splitlines()) == 1
    assert "none" in found.stderr


def test_help_names_every_report() -> None:
    text = call("report", "--help").output
    assert len(ordered()) > 10
    for report in ordered():
        assert f"  {report.name} " in text
