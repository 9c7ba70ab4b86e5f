"""What each command says of a run that has lost rows, and with which code it ends."""

import json
import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from napts.cli.commands import main
from napts.experiment import load_spec, run_all
from napts.experiment.spec.study import Study
from napts.records import find_runs, load_run
from napts.text import LINE

STUDY = """
experiment = "study"
seeds = [0, 1]
[workload]
name = "synthetic-blobs"
[budget]
epochs = 2
[[methods]]
method = "SGD"
lr = 0.1
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a study of two runs, beside the records of both."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "study.toml").write_text(STUDY)
    study = load_spec(folder / "study.toml")
    assert isinstance(study, Study)
    run_all(study.runs(), folder / "records")
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """The same, where the first run has lost rows."""
    shutil.copytree(whole, tmp_path / "damaged")
    os.truncate(damaged(tmp_path / "damaged") / "epochs.jsonl", 300)
    return tmp_path / "damaged"


def damaged(folder: Path) -> Path:
    return find_runs(folder / "records")[0]


def call(*arguments: object) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def named(result: Result, run: Path) -> str:
    """Return the one line that names the run."""
    (line,) = [line for line in result.stderr.splitlines() if run.name in line]
    assert "epochs.jsonl: lacks epochs 0 to 2" in line
    assert len(line) <= LINE + len("napts: left out: ")
    return line


def test_report(folder: Path, tmp_path: Path) -> None:
    result = call("report", "table", folder / "records", "--out", tmp_path / "out")
    assert result.exit_code == 1
    named(result, damaged(folder))
    (csv,) = (tmp_path / "out").glob("*.csv")
    assert ",1," in csv.read_text()  # n


def test_claims(folder: Path) -> None:
    result = call("claims", folder / "records", "--json")
    assert result.exit_code == 1
    named(result, damaged(folder))
    json.loads(result.stdout)


def test_sync(folder: Path) -> None:
    result = call("sync", folder / "records", "--json")
    assert result.exit_code == 1
    counts = json.loads(result.stdout)
    assert (counts["created"], counts["failed"]) == (1, 1)
    assert "epochs.jsonl: lacks epochs 0 to 2" in counts["problems"][0]


@pytest.mark.parametrize("command", ["plan", "status"])
def test_plan_and_status(folder: Path, command: str) -> None:
    arguments = ("sweep", command, folder / "study.toml", "--records", folder / "records")
    result = call(*arguments)
    assert result.exit_code == 1
    named(result, damaged(folder))
    counts = json.loads(call(*arguments, "--json").stdout)["counts"]
    assert (counts["done"], counts["damaged"]) == (1, 1)


def test_collect(folder: Path, whole: Path, tmp_path: Path) -> None:
    arguments = ("sweep", "collect", folder / "study.toml", "--no-track", "--records")
    result = call(*arguments, tmp_path / "t", folder / "records")
    assert result.exit_code == 1
    named(result, damaged(folder))
    assert "1 copied" in result.stdout
    assert "1 of 2 runs of the sweep are still missing" in result.stdout
    again = call(*arguments, folder / "records", whole / "records")
    assert again.exit_code == 0
    assert "1 advanced" in again.stdout
    assert load_run(damaged(folder)).state == "done"


def test_run(folder: Path) -> None:
    arguments = ("run", folder / "study.toml", "--no-track", "--records", folder / "records")
    result = call(*arguments)
    assert result.exit_code == 0
    assert "it is started anew, and the old files are kept in .damaged-1" in result.stderr
    assert all(load_run(path).state == "done" for path in find_runs(folder / "records"))


def test_run_beside_a_damaged_neighbour(folder: Path, whole: Path) -> None:
    run = damaged(folder)
    shutil.move(run, run.with_name("other"))
    header = json.loads((run.with_name("other") / "spec.json").read_text())
    (run.with_name("other") / "spec.json").write_text(json.dumps({**header, "run_key": "other"}))
    shutil.copytree(damaged(whole), run)
    arguments = ("run", folder / "study.toml", "--no-track", "--records", folder / "records")
    result = call(*arguments)
    assert result.exit_code == 1
    assert "left out" in named(result, run.with_name("other"))
    assert "SGD" in result.stdout


def test_tune(tmp_path: Path) -> None:
    (tmp_path / "space.toml").write_text("[grid]\nlr = [0.1]\n")
    arguments = ("tune", "synthetic-blobs", "SGD", "--epochs", 1, "--seeds", "0", "--space")
    arguments += (tmp_path / "space.toml", "--records", tmp_path / "records")
    arguments += ("--out", tmp_path / "tuned", "--json")
    assert call(*arguments).exit_code == 0
    (run,) = find_runs(tmp_path / "records")
    other = run.with_name("other")
    shutil.copytree(run, other)
    os.truncate(other / "epochs.jsonl", 0)
    result = call(*arguments)
    assert result.exit_code == 1
    assert "left out" in result.stderr
    assert json.loads(result.stdout)["spec"]
    os.truncate(run / "epochs.jsonl", 0)
    shutil.rmtree(other)
    assert call(*arguments).exit_code == 0
    assert load_run(run).epochs


@pytest.mark.parametrize("command", ["run", "plan", "status", "submit"])
def test_a_later_schema_is_refused_in_one_line(folder: Path, command: str) -> None:
    status = damaged(folder) / "status.json"
    status.write_text(json.dumps({**json.loads(status.read_text()), "schema": 3}))
    before = {path: path.read_bytes() for path in damaged(folder).iterdir()}
    arguments = [command] if command == "run" else ["sweep", command]
    more = ["--no-track"] if command == "run" else []
    result = call(*arguments, folder / "study.toml", "--records", folder / "records", *more)
    assert result.exit_code == 2
    (line,) = [line for line in result.stderr.splitlines() if "schema" in line]
    assert "found schema 3, allowed: up to 2" in line
    assert {path: path.read_bytes() for path in damaged(folder).iterdir()} == before


@pytest.mark.parametrize("name", [".launch", ".launch/study", ".launch/study/lock"])
def test_a_submission_writes_through_no_link(folder: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "lock").write_text("precious")
    link = folder / "records" / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(tmp_path / "foreign" / ("lock" if name.endswith("lock") else ""))
    arguments = ("sweep", "submit", folder / "study.toml", "--records", folder / "records")
    result = call(*arguments, "--allow-dirty")
    assert result.exit_code == 2
    assert "a symbolic link" in result.stderr
    assert [path.name for path in (tmp_path / "foreign").iterdir()] == ["lock"]
    assert (tmp_path / "foreign" / "lock").read_text() == "precious"


@pytest.mark.parametrize("name", ["mlflow.db.lock", "sync.log"])
def test_mlflow_s_files_are_written_through_no_link(
    folder: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "foreign").write_text("precious")
    (folder / "records" / name).symlink_to(tmp_path / "foreign")
    command = ("run", folder / "study.toml", "--records") if name == "sync.log" else ("sync",)
    result = call(*command, folder / "records")
    assert result.exit_code == 2
    assert (tmp_path / "foreign").read_text() == "precious"
