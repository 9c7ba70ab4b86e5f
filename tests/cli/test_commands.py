"""The command line as a person or a script meets it: output, exit codes, one line per mistake."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from napts.cli import main
from napts.cli.shared import BAD_INPUT, BUSY, FAILED, INTERRUPTED

RUN = """
experiment = "small"
seed = 1
[workload]
name = "synthetic-blobs"
[optimizer]
method = "NAPTS"
[budget]
epochs = 2
"""
STUDY = """
experiment = "study"
seeds = [0, 1]
[workload]
name = "synthetic-blobs"
[budget]
epochs = 2
[[methods]]
method = "TR"
[[methods]]
method = "Adam"
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "run.toml"
    path.write_text(RUN)
    return path


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "study.toml"
    path.write_text(STUDY)
    return path


def napts(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)


def train(file: Path, *arguments: object) -> Result:
    return napts("run", file, "--no-track", "--records", file.parent / "records", *arguments)


def loaded_by(code: str) -> set[str]:
    """Top-level modules that are loaded after some code has run in a fresh interpreter."""
    ask = "import json, sys; print(json.dumps([m for m in sys.modules if '.' not in m]))"
    command = [sys.executable, "-c", f"{code}\n{ask}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_help_is_light() -> None:
    heavy = {"torch", "mlflow", "rich", "pandas", "matplotlib", "pydantic"}
    code = "from napts.cli import main\ntry: main(['run', '--help'])\nexcept SystemExit: pass"
    loaded = loaded_by(code)
    assert "click" in loaded
    assert not heavy & loaded


def test_the_package_loads_torch_and_nothing_heavier() -> None:
    heavy = {"mlflow", "pandas", "matplotlib", "sklearn", "torchvision", "pydantic", "scipy"}
    assert "torch" not in loaded_by("import napts")
    loaded = loaded_by("import napts; napts.NAPTS, napts.partition_layers")
    assert "torch" in loaded
    assert not heavy & loaded


def test_a_run_and_then_nothing_to_do(spec: Path) -> None:
    first = train(spec)
    assert first.exit_code == 0
    assert "epoch 2/2" in first.stderr
    assert "done, test accuracy" in first.stderr
    again = train(spec)
    assert again.exit_code == 0
    assert "nothing to do" in again.stderr
    assert "epoch" not in again.stderr
    forced = train(spec, "--mode", "force")
    assert "epoch 2/2" in forced.stderr


def test_json_is_pure(spec: Path) -> None:
    result = train(spec, "--json", "--set", "optimizer.window=3")
    (row,) = json.loads(result.stdout)
    assert row["state"] == "done"
    assert row["ran"]
    stored = json.loads((Path(row["path"]) / "spec.json").read_text())
    assert stored["spec"]["optimizer"]["window"] == 3


def test_a_study_ends_in_a_table_and_a_report(study: Path, tmp_path: Path) -> None:
    result = train(study, "--report", tmp_path / "out")
    assert result.exit_code == 0
    assert "Work per batch" in result.stdout
    assert "[4/4] Adam" in result.stderr
    assert (tmp_path / "out" / "report.html").stat().st_size > 10_000
    assert "report.html" in result.stdout
    again = napts("report", "table", tmp_path / "records", "--out", tmp_path / "again", "--json")
    assert all(Path(path).exists() for path in json.loads(again.stdout))


def test_a_failed_run_does_not_stop_the_others(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import napts

    def broken(*_: object) -> float:
        raise RuntimeError("the step broke")

    monkeypatch.setattr(napts.TR, "step", broken)
    result = train(study, "--json")
    assert result.exit_code == FAILED
    states = [row["state"] for row in json.loads(result.stdout)]
    assert states == ["failed", "done", "failed", "done"]
    assert "the step broke" in result.stderr
    assert "nothing to do" not in result.stderr
    assert all(row["ran"] for row in json.loads(result.stdout))
    assert "Traceback" not in result.stderr
    monkeypatch.undo()
    assert train(study).exit_code == FAILED
    assert train(study, "--mode", "retry").exit_code == 0


def test_an_interrupted_run_goes_on(spec: Path) -> None:
    command = [sys.executable, "-m", "napts.cli", "run", str(spec), "--no-track"]
    command += ["--records", str(spec.parent / "records"), "--set", "budget.epochs=400"]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "COLUMNS": "80"}
    )
    assert process.stderr is not None
    while b"epoch 2/400" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == INTERRUPTED, errors
    (status,) = (spec.parent / "records").rglob("status.json")
    assert json.loads(status.read_text())["state"] == "interrupted"
    assert train(spec, "--set", "budget.epochs=400").exit_code == 0
    restarts = (status.parent / "restarts.jsonl").read_text().splitlines()
    assert json.loads(restarts[-1])["reason"] == "resumed"


def test_a_busy_run_directory_is_left_alone(spec: Path) -> None:
    from napts.experiment import RunSpec, load_spec
    from napts.records.layout import run_directory
    from napts.records.run_lock import RunLock

    loaded = load_spec(spec)
    assert isinstance(loaded, RunSpec)
    directory = run_directory(spec.parent / "records", loaded.experiment, loaded.run_key)
    directory.mkdir(parents=True)
    with RunLock(directory):
        result = train(spec)
    assert result.exit_code == BUSY
    assert len(result.stderr.strip().splitlines()) == 1
    assert [path.name for path in directory.iterdir()] == ["lock"]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("optimizer.widow=3", ("run.toml: optimizer.widow", "did you mean window", "allowed")),
        (
            "optimizer.window=-1",
            ("run.toml: optimizer.window", "found -1", "allowed: integer >= 0"),
        ),
        ("optimizer.method=Adagrad", ("found 'Adagrad'", "allowed: TR, NTR, APTS")),
        ("workload.name=imagenet", ("workload.name", "found 'imagenet'", "digits-cnn")),
        ("budget.epochs=many", ("budget.epochs", "found 'many'")),
        ("experiment=../up", ("experiment", "allowed: letters")),
        ("nonsense", ("--set", "nonsense", "name=value")),
    ],
)
def test_bad_specs_are_one_clear_line(spec: Path, override: str, words: tuple[str, ...]) -> None:
    result = train(spec, "--set", override)
    assert result.exit_code == BAD_INPUT
    (line,) = result.stderr.strip().splitlines()
    assert all(word in line for word in words), line
    assert not (spec.parent / "records").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "absent.toml"), ("absent.toml", "cannot be read")),
        (("report", "figure9", "here"), ("figure9", "figure2")),
        (("report", "all", "nowhere"), ("nowhere",)),
        (("report",), ("RECORDS",)),
        (("data", "prepare", "imagenet"), ("imagenet", "mnist")),
        (("sync", "nowhere"), ("nowhere",)),
    ],
)
def test_bad_arguments_are_one_clear_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    words: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    result = napts(*arguments)
    assert result.exit_code == BAD_INPUT, result.stderr
    (line,) = result.stderr.strip().splitlines()
    assert all(word in line for word in words), line


def test_not_toml(spec: Path) -> None:
    spec.write_text("experiment = ")
    result = train(spec)
    assert result.exit_code == BAD_INPUT
    assert "not valid TOML" in result.stderr


def test_missing_data_says_both_ways(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NAPTS_DATA", raising=False)
    result = train(spec, "--set", "workload.name=mnist-fcnn", "--data-root", spec.parent)
    assert result.exit_code == BAD_INPUT
    (line,) = result.stderr.strip().splitlines()
    assert "napts data prepare" in line
    assert "NAPTS_DATA" in line


def test_info() -> None:
    found = json.loads(napts("info", "--json").stdout)
    assert "NAPTS" in found["methods"]
    assert "cifar10-cnn" in found["workloads"]
    assert "torch: " in napts("info").stdout


def test_a_tracked_run_is_in_mlflow(spec: Path) -> None:
    """In a process of its own, as a person would; then a second sync has nothing to do."""
    records = spec.parent / "records"
    command = [sys.executable, "-m", "napts.cli"]
    run = [*command, "run", str(spec), "--records", str(records)]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "MLflow:" in done.stdout
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        sync = subprocess.run(
            [*command, "sync", str(records), "--json"], capture_output=True, text=True, check=False
        )
        counts = json.loads(sync.stdout)
        if counts["unchanged"] == 1:
            break
    assert counts["unchanged"] == 1
    assert counts["failed"] == 0
