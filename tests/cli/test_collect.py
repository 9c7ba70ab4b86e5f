"""`napts sweep collect`: the runs of a sweep from two places, and what the exit code says."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from benchmarks.made_runs import write_run
from napts.cli.collect import collect
from napts.cli.shared import BAD_INPUT, BUSY, FAILED
from napts.experiment import Study, load_spec, run_all
from napts.records import RunLock, find_runs, load_run

SWEEP = """
experiment = "demo"
seeds = [0, 1]
[workload]
name = "synthetic-blobs"
[budget]
epochs = 1
[[methods]]
method = "NAPTS"
[[methods]]
method = "SGD"
"""


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two records folders: seed 0 in one, seed 1 in the other, and a run of something else."""
    folder = tmp_path_factory.mktemp("places")
    (folder / "sweep.toml").write_text(SWEEP)
    study = load_spec(folder / "sweep.toml")
    assert isinstance(study, Study)
    for place, seed in (("a", 0), ("b", 1)):
        run_all([spec for spec in study.runs() if spec.seed == seed], folder / place)
    write_run(folder / "a", experiment="another")
    return folder


@pytest.fixture
def here(places: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(places, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def collected(*arguments: str) -> Result:
    return CliRunner().invoke(collect, ["sweep.toml", *arguments], catch_exceptions=False)


def told(*arguments: str) -> dict[str, Any]:
    return json.loads(collected(*arguments, "--json").stdout)


def test_the_runs_of_a_sweep_come_together_and_into_mlflow(here):
    first = collected("a", "--no-track")
    assert first.exit_code == 0
    assert first.stdout.splitlines() == [
        "2 copied, 0 advanced, 0 unchanged, 0 conflicts, 0 problems",
        "2 of 4 runs of the sweep are still missing",
    ]
    assert not (here / "records" / "mlflow.db").exists()
    counts = told("a", "b")
    assert (counts["copied"], counts["unchanged"]) == (2, 2)
    assert (counts["missing"], counts["planned"]) == (0, 4)
    assert counts["sync"]["created"] == 4
    assert len(find_runs(here / "records" / "demo")) == 4
    assert not (here / "records" / "another").exists()
    again = collected("a", "b")
    assert again.exit_code == 0
    assert again.stdout.startswith("0 copied, 0 advanced, 4 unchanged")
    assert "MLflow: 0 created, 0 updated, 4 unchanged, 0 failed in " in again.stdout


def test_a_run_that_got_further_is_named(here):
    collected("a", "--no-track")
    (run, *_) = find_runs(here / "records")
    status = json.loads((run / "status.json").read_text())
    rest = {"state": "interrupted", "epoch": 0, "final": None}
    (run / "status.json").write_text(json.dumps(status | rest))
    (run / "epochs.jsonl").write_text("")
    result = collected("a", "--no-track")
    assert result.exit_code == 0
    assert "1 advanced" in result.stdout
    assert f"{run.name}: interrupted after 0 epochs -> done after 1 epoch" in result.stdout
    assert load_run(run).state == "done"


def test_a_contradiction_is_named_and_fails(here):
    collected("a", "--no-track")
    (run, *_) = find_runs(here / "a" / "demo")
    rows = (run / "epochs.jsonl").read_text().replace('"val_loss":', '"val_loss":1')
    (run / "epochs.jsonl").write_text(rows)
    result = collected("a", "--no-track")
    assert result.exit_code == FAILED
    assert "1 conflict, 0 problems" in result.stdout
    assert str(Path("a", "demo", run.name)) in result.stderr
    assert [item["action"] for item in told("a", "--no-track")["told"]] == ["conflict"]


def test_a_damaged_run_fails_and_the_others_arrive(here):
    (run, *_) = find_runs(here / "a" / "demo")
    (run / "status.json").write_text("torn")
    result = collected("a", "b", "--no-track")
    assert result.exit_code == FAILED
    assert (
        result.stderr
        == f"napts: problem: {Path('a/demo', run.name)}/status.json: not a JSON object\n"
    )
    assert len(find_runs("records")) == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sweep.toml", "nowhere"], "nowhere: no such records folder"),
        (["nothing.toml", "a"], "nothing.toml: cannot be read"),
    ],
)
def test_bad_input_is_said_in_one_line(here, arguments, words):
    result = CliRunner().invoke(collect, arguments)
    assert result.exit_code == BAD_INPUT
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (here / "records").exists()


def test_a_second_collect_at_the_same_time_is_turned_away(here):
    collected("a", "--no-track")
    with RunLock(here / "records" / ".merge"):
        assert collected("b", "--no-track").exit_code == BUSY


def test_a_server_that_is_away_leaves_the_runs_collected(here):
    result = collected("a", "b", "--tracking-uri", "http://127.0.0.1:9")
    assert result.exit_code == FAILED
    assert "the runs are collected, but MLflow is behind" in result.stderr
    assert len(find_runs("records")) == 4
