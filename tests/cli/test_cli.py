"""The command line in real processes, and where the surroundings are not as they should be."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from threading import Timer

import pytest
from click.testing import CliRunner, Result

from napts.cli import main
from napts.cli.shared import BAD_INPUT, FAILED, INTERRUPTED
from napts.problems.torchvision_data import IMAGE_DATASETS
from tests.problems.conftest import FASHION_TEST, FASHION_TRAIN, write_fashion

LONGEST_S = 180.0
Starter = Callable[..., subprocess.Popen[str]]

STUDY = """
experiment = "study"
seeds = [0, 1]
[workload]
name = "synthetic-blobs"
[budget]
epochs = 2
[[methods]]
method = "NAPTS"
[[methods]]
method = "SGD"
"""


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "study.toml"
    path.write_text(STUDY)
    return path


def napts(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)


@pytest.fixture
def process() -> Iterator[Starter]:
    """Starts the program; what still runs at the end, or after long silence, is killed."""
    with ExitStack() as cleanup:

        def start(*arguments: object) -> subprocess.Popen[str]:
            command = [sys.executable, "-m", "napts.cli", *map(str, arguments)]
            popen = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            running = cleanup.enter_context(popen)
            patience = Timer(LONGEST_S, running.kill)  # a reader of its pipes would wait for ever
            patience.start()
            cleanup.callback(patience.cancel)
            cleanup.callback(running.kill)
            return running

        yield start


def until(running: subprocess.Popen[str], said: str) -> None:
    """Wait until a line of standard error holds some words."""
    assert running.stderr is not None
    for line in running.stderr:
        if said in line:
            return
    raise AssertionError(f"ended with {running.wait()} without saying {said!r}")


def one_line(result: Result) -> str:
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("napts: ")
    return line


def snapshot(folder: Path) -> dict[Path, tuple[int, bytes]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def test_help_of_the_program_is_light() -> None:
    code = (
        "import sys\nfrom napts.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'mlflow', 'rich', 'pandas', 'matplotlib', 'pydantic', 'numpy'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_a_finished_study_is_not_touched_again(study: Path) -> None:
    assert napts("run", study, "--no-track").exit_code == 0
    before = snapshot(study.parent / "records")
    again = napts("run", study, "--no-track", "--json")
    assert again.exit_code == 0
    assert [row["ran"] for row in json.loads(again.stdout)] == [False] * 4
    assert again.stderr.count("nothing to do") == 4
    assert snapshot(study.parent / "records") == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_study_and_it_goes_on_later(
    study: Path, process: Starter, number: int
) -> None:
    arguments = ["run", study, "--no-track", "--json", "--set", "methods.1.epochs=200"]
    running = process(*arguments)
    until(running, "[2/4] SGD seed 0  epoch 2/200")
    running.send_signal(number)
    out, errors = running.communicate(timeout=60)
    assert running.returncode == INTERRUPTED, errors
    assert "Traceback" not in errors
    rows = json.loads(out)
    assert [row["state"] for row in rows] == ["done", "interrupted"]
    assert (Path(rows[1]["path"]) / "checkpoint.pt").exists()
    again = napts(*arguments)
    assert again.exit_code == 0
    rows = json.loads(again.stdout)
    assert [row["ran"] for row in rows] == [False, True, True, True]
    assert {row["state"] for row in rows} == {"done"}


def test_a_diverged_run_does_not_stop_the_others(study: Path) -> None:
    result = napts("run", study, "--no-track", "--json", "--set", "methods.1.lr=1e30")
    assert result.exit_code == FAILED
    states = [row["state"] for row in json.loads(result.stdout)]
    assert states == ["done", "diverged", "done", "diverged"]
    assert result.stderr.count("diverged: training loss") == 2


def test_every_problem_of_a_spec_has_its_line(study: Path) -> None:
    result = napts("run", study, "--set", "budget.epochs=0", "--set", "methods.0.widow=1")
    assert result.exit_code == BAD_INPUT
    first, second = sorted(result.stderr.strip().splitlines(), key=lambda line: "epochs" in line)
    assert "study.toml: methods[0].widow: unknown key, did you mean window?" in first
    assert "study.toml: budget.epochs: found 0, allowed: integer >= 1" in second


@pytest.mark.parametrize("track", ["--track", "--no-track"])
def test_records_that_cannot_be_a_folder(study: Path, track: str) -> None:
    (study.parent / "file").touch()
    result = napts("run", study, track, "--records", "file/records")
    assert result.exit_code == BAD_INPUT
    assert "file/records" in one_line(result)


def test_records_that_no_sqlite_address_can_name(study: Path) -> None:
    result = napts("run", study, "--records", "half%")
    assert result.exit_code == BAD_INPUT
    assert "--tracking-uri" in one_line(result)
    assert napts("run", study, "--records", "half%", "--no-track").exit_code == 0


def test_a_damaged_experiment_beside_hides_nothing(study: Path) -> None:
    damaged = study.parent / "records" / "other" / "tr-s0-0123456789"
    damaged.mkdir(parents=True)
    (damaged / "spec.json").write_text("{")
    result = napts("run", study, "--no-track")
    assert result.exit_code == 0
    assert "Work per batch" in result.stdout
    result = napts("run", study, "--no-track", "--json", "--report", "out")
    assert result.exit_code == FAILED
    assert len(json.loads(result.stdout)) == 4
    assert "tr-s0-0123456789: spec.json: not a JSON object" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr
    assert Path("out", "report.html").exists()


def test_a_damaged_run_of_the_same_experiment_is_left_out_of_the_tables(study: Path) -> None:
    damaged = study.parent / "records" / "study" / "tr-s0-0123456789"
    damaged.mkdir(parents=True)
    (damaged / "spec.json").write_text("{")
    result = napts("run", study, "--no-track")
    assert result.exit_code == FAILED
    assert "Records:" in result.stdout
    assert "Work per batch" in result.stdout
    assert "napts: left out: " in result.stderr


def test_a_report_of_no_runs(tmp_path: Path) -> None:
    result = napts("report", "all", tmp_path, "--out", tmp_path / "out")
    assert result.exit_code == BAD_INPUT
    assert "no run directories" in one_line(result)
    assert not (tmp_path / "out").exists()


def test_all_reports(study: Path) -> None:
    assert napts("run", study, "--no-track").exit_code == 0
    result = napts("report", "all", "records", "--out", "out")
    assert result.exit_code == 0
    files = {Path(line) for line in result.stdout.splitlines()}
    assert files == {path.relative_to(study.parent) for path in (study.parent / "out").iterdir()}
    assert {"report.html", "table-synthetic-blobs.csv"} <= {path.name for path in files}


def test_a_port_in_use(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").touch()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = napts("ui", tmp_path, "--port", port)
    assert result.exit_code == BAD_INPUT
    assert f"port {port} is in use" in one_line(result)


@pytest.fixture
def fashion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    write_fashion(tmp_path)
    small = replace(IMAGE_DATASETS["fashion-mnist"], sizes=(FASHION_TRAIN, FASHION_TEST))
    monkeypatch.setitem(IMAGE_DATASETS, "fashion-mnist", small)
    return lambda *more: napts("data", "prepare", "fashion-mnist", "--data-root", tmp_path, *more)


def test_data_that_are_there(fashion: Callable[..., Result]) -> None:
    found = json.loads(fashion("--json").stdout)
    assert (found["train_samples"], found["downloaded"]) == (FASHION_TRAIN, False)
    assert f"train_samples: {FASHION_TRAIN}" in fashion().stdout


def test_data_that_are_damaged(fashion: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "FashionMNIST/raw/train-labels-idx1-ubyte").write_bytes(b"?")
    result = fashion()
    assert result.exit_code == BAD_INPUT
    assert "prepare it again" in one_line(result)


def test_watching_without_a_server_is_a_failure(tmp_path: Path, process: Starter) -> None:
    with socket.socket() as closed:  # bound but not listening: connections are refused
        closed.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{closed.getsockname()[1]}"
        watching = process("sync", tmp_path, "--watch", "--tracking-uri", uri)
        until(watching, "MLflow is behind")
        watching.send_signal(signal.SIGINT)
        _, errors = watching.communicate(timeout=60)
    assert watching.returncode == FAILED
    assert errors == ""


@pytest.mark.slow
def test_a_tracked_study_with_a_report(study: Path, process: Starter) -> None:
    training = process("run", study, "--report", "out")
    out, errors = training.communicate(timeout=300)
    assert training.returncode == 0, errors
    assert "Report:   out/report.html" in out
    assert "not attached" not in errors
    assert list((study.parent / "records" / "mlartifacts").rglob("report.html"))
    watching = process("sync", "records", "--watch", "--json")
    assert watching.stdout is not None
    counts = json.loads(watching.stdout.readline())
    watching.send_signal(signal.SIGINT)
    _, errors = watching.communicate(timeout=60)
    assert watching.returncode == 0, errors
    assert counts["failed"] == 0
    assert sum(counts[name] for name in ("created", "updated", "unchanged")) == 4
