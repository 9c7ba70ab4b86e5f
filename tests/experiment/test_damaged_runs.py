"""Runs whose records are damaged are done again, and none ends as done with a part of its rows."""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from napts.experiment import Observer, RunSpec, run, run_all
from napts.experiment import runner as runner_module
from napts.optim import StepRecord
from napts.records import NewerSchema, RecordError, RunRecord, load_run
from napts.records.layout import CHECKPOINT, PREVIOUS_CHECKPOINT
from tests.experiment.conftest import make_spec

TIMES = ("_seconds", "time", "attempt", "peak_memory_mb")


class Noted(Observer):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def on_notice(self, line: str) -> None:
        self.lines.append(line)


class Stopper(Noted):
    """Interrupts a run at one step, or lets it fail there."""

    def __init__(self, epoch: int, step: int, error: BaseException | None = None) -> None:
        super().__init__()
        self._at, self._error = (epoch, step), error or KeyboardInterrupt()

    def on_step(self, record: StepRecord, epoch: int, step: int) -> None:
        if (epoch, step) == self._at:
            raise self._error


def comparable(record: RunRecord) -> Any:
    rows = [
        {name: value for name, value in row.items() if not name.endswith(TIMES)}
        for row in (*record.epochs, *record.steps)
    ]
    return record.final, rows


def interrupted(spec: RunSpec, root: Path) -> Path:
    """Return the directory of a run that was interrupted in its third epoch."""
    with pytest.raises(KeyboardInterrupt):
        run(spec, root, observer=Stopper(3, 2))
    return root / spec.experiment / spec.run_key


def contents(directory: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(directory.iterdir()) if p.is_file()}


def without_line(path: Path, number: int) -> None:
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:number] + lines[number + 1 :]))


def empty(path: Path) -> None:
    os.truncate(path, 0)


SPEC = make_spec("NTR", epochs=4)


@pytest.fixture
def spec() -> RunSpec:
    return SPEC


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return comparable(load_run(run(SPEC, tmp_path_factory.mktemp("undisturbed")).path))


def assert_done_again(spec: RunSpec, root: Path, what: str, undisturbed: Any) -> RunRecord:
    """Run it; it is as one that was never disturbed, and the user knows what was lost."""
    observer = Noted()
    outcome = run(spec, root, observer=observer)
    assert (outcome.state, outcome.ran) == ("done", True)
    record = load_run(outcome.path)
    assert comparable(record) == undisturbed
    (line,) = observer.lines
    assert what in line
    assert "\n" not in line
    return record


LOST: list[tuple[str, Callable[[Path], object], str]] = [
    ("epochs.jsonl", lambda path: os.truncate(path, 900), "epochs.jsonl: lacks epochs 1 to 2"),
    ("epochs.jsonl", empty, "epochs.jsonl: lacks epochs 0 to 2 before the checkpoint"),
    ("epochs.jsonl", Path.unlink, "epochs.jsonl: lacks epochs 0 to 2"),
    ("epochs.jsonl", lambda path: without_line(path, 1), "epochs.jsonl: lacks epoch 1"),
    ("epochs.jsonl", lambda path: path.write_text("x\n{}\n"), "epochs.jsonl: line 1 is not"),
    ("steps.jsonl", empty, "steps.jsonl: has 0 of the"),
    ("steps.jsonl", Path.unlink, "steps.jsonl: has 0 of the"),
    ("steps.jsonl", lambda path: without_line(path, 3), "of epoch 1"),
    ("restarts.jsonl", lambda path: path.write_text("[]\n"), "restarts.jsonl: line 1 is not"),
]


@pytest.mark.parametrize(("name", "change", "what"), LOST)
def test_rows_before_the_checkpoint_that_are_missing_start_the_run_anew(
    spec: RunSpec,
    tmp_path: Path,
    name: str,
    change: Callable[[Path], object],
    what: str,
    undisturbed: Any,
) -> None:
    directory = interrupted(spec, tmp_path)
    change(directory / name)
    before = contents(directory)
    record = assert_done_again(spec, tmp_path, what, undisturbed)
    assert what in record.restarts[-1]["reason"]
    kept = contents(directory / ".damaged-1")
    assert kept == {name: data for name, data in before.items() if name != "lock"}


def test_rows_behind_the_checkpoint_may_be_missing(
    spec: RunSpec, tmp_path: Path, undisturbed: Any
) -> None:
    """They are made again anyway; so a file that is torn there is no damage."""
    directory = interrupted(spec, tmp_path)
    (directory / CHECKPOINT).unlink()  # the one before is of epoch 1
    os.truncate(directory / "epochs.jsonl", (directory / "epochs.jsonl").stat().st_size - 9)
    outcome = run(spec, tmp_path)
    record = load_run(outcome.path)
    assert record.restarts[-1]["resumed_from_epoch"] == 1
    assert comparable(record) == undisturbed
    assert not list(directory.glob(".damaged*"))


@pytest.mark.parametrize("name", ["status.json", "spec.json", "environment.json"])
@pytest.mark.parametrize("kind", ["torn", "folder"])
def test_a_run_goes_on_whose_rows_are_there(
    spec: RunSpec, tmp_path: Path, name: str, kind: str, undisturbed: Any
) -> None:
    directory = interrupted(spec, tmp_path)
    (directory / name).unlink()
    if kind == "torn":
        (directory / name).write_text("{")
    else:
        (directory / name).mkdir()
    record = assert_done_again(spec, tmp_path, f"{name}: ", undisturbed)
    assert record.restarts[-1]["resumed_from_epoch"] == 2
    assert (directory / ".damaged-1" / name).exists()


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_a_checkpoint_that_is_no_file_is_passed_over(
    spec: RunSpec, tmp_path: Path, kind: str, undisturbed: Any
) -> None:
    directory = interrupted(spec, tmp_path)
    (directory / CHECKPOINT).unlink()
    (directory / CHECKPOINT).mkdir() if kind == "folder" else os.mkfifo(directory / CHECKPOINT)
    record = assert_done_again(spec, tmp_path, "checkpoint.pt", undisturbed)
    assert record.restarts[-1]["resumed_from_epoch"] == 1


def test_a_checkpoint_that_is_incomplete_is_passed_over(
    spec: RunSpec, tmp_path: Path, undisturbed: Any
) -> None:
    directory = interrupted(spec, tmp_path)
    torch.save({"schema": 1, "run_key": spec.run_key}, directory / CHECKPOINT)
    record = assert_done_again(spec, tmp_path, "checkpoint.pt is incomplete", undisturbed)
    assert record.restarts[-1]["resumed_from_epoch"] == 1


@pytest.mark.parametrize("mode", ["cached", "retry", "force"])
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("epochs.jsonl", lambda path: os.truncate(path, 900)),
        ("epochs.jsonl", lambda path: path.write_text("x\n\n")),
        ("steps.jsonl", lambda path: os.truncate(path, 900)),
        ("status.json", lambda path: path.write_text("{}")),
        ("spec.json", lambda path: path.write_text('{"label": 5}')),
    ],
)
def test_a_damaged_run_is_not_done(
    spec: RunSpec,
    tmp_path: Path,
    name: str,
    change: Callable[[Path], object],
    mode: Any,
    undisturbed: Any,
) -> None:
    directory = run(spec, tmp_path).path
    change(directory / name)
    lost = (directory / name).read_bytes()
    observer = Noted()
    outcome = run(spec, tmp_path, mode=mode, observer=observer)
    assert (outcome.state, outcome.ran) == ("done", True)
    assert comparable(load_run(directory)) == undisturbed
    (line,) = observer.lines
    assert f"{name}: " in line
    assert line.endswith("kept in .damaged-1")
    assert (directory / ".damaged-1" / name).read_bytes() == lost
    assert not run(spec, tmp_path).ran


def test_a_second_damage_is_kept_beside_the_first(spec: RunSpec, tmp_path: Path) -> None:
    for number in (1, 2):
        directory = run(spec, tmp_path).path
        empty(directory / "epochs.jsonl")
        assert run(spec, tmp_path).ran
        assert (directory / f".damaged-{number}" / "epochs.jsonl").exists()


def test_rows_that_vanish_while_a_run_trains_make_it_no_result(
    spec: RunSpec, tmp_path: Path
) -> None:
    path = tmp_path / spec.experiment / spec.run_key

    class Vandal(Observer):
        def on_epoch(self, row: Any) -> None:
            if row["epoch"] == 2:
                empty(path / "epochs.jsonl")

    (outcome,) = run_all([spec], tmp_path, observer=Vandal())
    assert (outcome.state, outcome.final) == ("failed", None)
    assert "its records were damaged in the meantime" in (outcome.error or "")
    assert run(spec, tmp_path).state == "done"


@pytest.mark.parametrize("name", ["status.json", "restarts.jsonl", "epochs.jsonl"])
def test_a_failure_before_training_is_recorded_beside_damage(
    spec: RunSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    directory = interrupted(spec, tmp_path)
    (directory / name).write_text("[]\n")

    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("no good")

    with monkeypatch.context() as patch:
        patch.setattr(runner_module.Setup, "of", broken)
        (outcome,) = run_all([spec], tmp_path)
    assert (outcome.state, outcome.ran) == ("failed", True)
    assert "no good" in (outcome.error or "")
    assert (directory / ".damaged-1" / name).read_text() == "[]\n"
    assert run(spec, tmp_path, mode="retry").state == "done"


def test_a_run_that_fails_while_its_rows_vanish_does_not_end_a_series(
    spec: RunSpec, tmp_path: Path
) -> None:
    path = tmp_path / spec.experiment / spec.run_key

    class Vandal(Observer):
        def on_epoch(self, row: Any) -> None:
            if row["epoch"] == 2:
                empty(path / "epochs.jsonl")
                raise ZeroDivisionError("no good")

    (outcome,) = run_all([spec], tmp_path, observer=Vandal())
    assert outcome.state == "failed"


# --- later versions ------------------------------------------------------------------------------


def later(directory: Path, name: str) -> None:
    if name in (CHECKPOINT, PREVIOUS_CHECKPOINT):
        (directory / CHECKPOINT).unlink(missing_ok=True)
        torch.save({"schema": 3, "run_key": "other"}, directory / name)
        return
    path = directory / name
    last = path.read_text().splitlines()[-1] if name.endswith("l") else path.read_text()
    path.write_text(json.dumps({**json.loads(last), "schema": 3}) + "\n")


@pytest.mark.parametrize("mode", ["cached", "retry", "force"])
@pytest.mark.parametrize(
    "name",
    [
        *("spec.json", "status.json", "environment.json", "restarts.jsonl"),
        *(CHECKPOINT, PREVIOUS_CHECKPOINT),
    ],
)
def test_a_later_schema_is_refused_without_touching_anything(
    spec: RunSpec, tmp_path: Path, name: str, mode: Any
) -> None:
    directory = interrupted(spec, tmp_path)
    later(directory, name)
    before = contents(directory)
    with pytest.raises(NewerSchema, match=f"{name}: found schema 3, allowed: up to [12]"):
        run(spec, tmp_path, mode=mode)
    assert {**contents(directory), "lock": b""} == {**before, "lock": b""}
    assert not list(directory.glob(".damaged*"))


# --- clocks --------------------------------------------------------------------------------------


def test_a_clock_that_steps_back_does_not_end_a_series(
    spec_of: Callable[..., RunSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    specs = [spec_of("NTR"), spec_of("TR")]
    now = time.time()
    ticks = iter(range(10**9))
    monkeypatch.setattr(time, "time", lambda: now - 3600.0 * next(ticks))
    outcomes = run_all(specs, tmp_path, observer=Stopper(1, 2, ZeroDivisionError("no good")))
    assert [outcome.state for outcome in outcomes] == ["failed", "failed"]
    assert all(outcome.ran for outcome in outcomes)


def test_an_error_that_no_run_recorded_ends_a_series(
    spec: RunSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where the record of an earlier attempt names one of its type."""
    run_all([spec], tmp_path, observer=Stopper(1, 2, ZeroDivisionError("no good")))

    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("elsewhere")

    monkeypatch.setattr(runner_module, "held", broken)
    with pytest.raises(ZeroDivisionError, match="elsewhere"):
        run_all([spec], tmp_path, mode="retry")


# --- links ---------------------------------------------------------------------------------------

WRITTEN = (
    *("spec.json", "environment.json", "status.json", "epochs.jsonl", "steps.jsonl"),
    *("restarts.jsonl", "lock", "traceback.txt", "kept.npz", CHECKPOINT, PREVIOUS_CHECKPOINT),
    *("status.json.tmp", f"{CHECKPOINT}.tmp"),
)


@pytest.mark.parametrize("mode", ["cached", "force"])
@pytest.mark.parametrize("name", WRITTEN)
def test_nothing_is_written_through_a_link(
    spec: RunSpec, tmp_path: Path, name: str, mode: Any
) -> None:
    foreign = tmp_path / "foreign"
    foreign.write_text("precious")
    directory = tmp_path / "records" / spec.experiment / spec.run_key
    directory.mkdir(parents=True)
    (directory / name).symlink_to(foreign)
    with pytest.raises(RecordError, match=f"{name}: a symbolic link, nothing is written there"):
        run(spec, tmp_path / "records", mode=mode)
    assert foreign.read_text() == "precious"
    assert [path.name for path in directory.iterdir()] == [name]


@pytest.mark.parametrize("name", WRITTEN)
def test_nothing_is_written_through_a_link_that_comes_while_a_run_trains(
    spec: RunSpec, tmp_path: Path, name: str
) -> None:
    foreign = tmp_path / "foreign"
    foreign.write_text("precious")
    directory = tmp_path / "records" / spec.experiment / spec.run_key

    class Vandal(Observer):
        def on_epoch(self, row: Any) -> None:
            if row["epoch"] == 1:
                (directory / name).unlink(missing_ok=True)
                (directory / name).symlink_to(foreign)

    run_all([spec], tmp_path / "records", observer=Vandal())
    assert foreign.read_text() == "precious"


def test_a_run_directory_is_no_link(spec: RunSpec, tmp_path: Path) -> None:
    (tmp_path / "foreign").mkdir()
    folder = tmp_path / "records" / spec.experiment
    folder.mkdir(parents=True)
    (folder / spec.run_key).symlink_to(tmp_path / "foreign")
    with pytest.raises(RecordError, match="a symbolic link, nothing is written there"):
        run(spec, tmp_path / "records")
    assert list((tmp_path / "foreign").iterdir()) == []


def test_a_folder_of_an_experiment_does_not_lead_out(spec: RunSpec, tmp_path: Path) -> None:
    (tmp_path / "foreign").mkdir()
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / spec.experiment).symlink_to(tmp_path / "foreign")
    with pytest.raises(RecordError, match="a symbolic link out of the records"):
        run(spec, tmp_path / "records")
    assert list((tmp_path / "foreign").iterdir()) == []


def test_the_records_folder_may_be_a_link(spec: RunSpec, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "records").symlink_to(tmp_path / "disk")
    assert run(spec, tmp_path / "records").state == "done"
    shutil.rmtree(tmp_path / "disk" / spec.experiment)
