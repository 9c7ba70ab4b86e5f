"""Runs that are killed in real processes end as if nothing had happened."""

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from napts.experiment import RunSpec, plugins, run
from napts.records import RunBusy, RunRecord, is_locked, load_run

TIMES = ("_seconds", "time", "attempt", "peak_memory_mb")


def without_times(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if not name.endswith(TIMES)}


def assert_same(found: RunRecord, expected: RunRecord) -> None:
    assert found.state == expected.state == "done"
    assert not list(found.path.glob("checkpoint*"))
    assert found.final == expected.final
    assert [without_times(r) for r in found.epochs] == [without_times(r) for r in expected.epochs]
    assert [without_times(r) for r in found.steps] == [without_times(r) for r in expected.steps]
    last, wanted = (
        torch.load(record.path / "last.pt", weights_only=True) for record in (found, expected)
    )
    assert_equal_state(last["model"], wanted["model"])
    assert_equal_state(last["optimizer"], wanted["optimizer"])
    assert_equal_state(last["random"], wanted["random"])


def assert_equal_state(found: Any, expected: Any) -> None:
    assert type(found) is type(expected)
    if isinstance(found, torch.Tensor):
        assert torch.equal(found, expected)
    elif isinstance(found, dict):
        assert found.keys() == expected.keys()
        for key in found:
            assert_equal_state(found[key], expected[key])
    elif isinstance(found, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_equal_state(one, other)
    else:
        assert found == expected


def undisturbed(launcher, spec: RunSpec, root: Path) -> RunRecord:
    assert launcher.wait(launcher.start(spec, root)) == 0
    return load_run(root / spec.experiment / spec.run_key)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "workload", "every_s"),
    [("NAPTS", "synthetic-batchnorm", 0.0), ("Adam", "synthetic-blobs", 0.02)],
)
def test_kills_at_random_moments(method, workload, every_s, launcher, tmp_path, spec_of) -> None:
    moments = random.Random(5)
    kills, seed, epochs = 0, 0, 10
    while kills < 14:
        execution = {"checkpoint_every_s": every_s}
        spec = spec_of(method, workload, epochs=epochs, seed=seed, execution=execution)
        begin = time.monotonic()
        expected = undisturbed(launcher, spec, tmp_path / "undisturbed")
        duration = time.monotonic() - begin
        root = tmp_path / "killed"
        directory = root / spec.experiment / spec.run_key
        while kills < 14:
            pid = launcher.start(spec, root)
            # Part of the duration only, so that a run is killed several times before its end.
            time.sleep(moments.uniform(0.0, duration / 2))
            status = launcher.kill(pid)
            if status == 0:  # it was done already
                break
            assert status == -signal.SIGKILL
            kills += 1
            if (directory / "spec.json").exists():
                load_run(directory)  # what a kill leaves behind is readable at once
        assert launcher.wait(launcher.start(spec, root)) == 0
        assert_same(load_run(directory), expected)
        seed += 1


# Just before each system call of the writes: within the run's beginning, its rows, both renames of
# a checkpoint and the flushing of its contents.
POINTS = [
    *(f"fsync:{n}" for n in (1, 3, 9, 10, 12, 23)),
    *(f"replace:{n}" for n in (1, 2, 3, 4, 5, 6, 7, 11, 18)),
    *(f"write:{n}" for n in (1, 2, 3, 8, 14, 25)),
    *(f"unlink:{n}" for n in (1, 2)),
    "link:1",  # done, and the checkpoints not yet removed
]


@pytest.mark.parametrize("point", POINTS)
def test_kill_within_a_write(point, launcher, tmp_path, spec_of) -> None:
    spec = spec_of("NTR", "synthetic-batchnorm", execution={"checkpoint_every_s": 0.0})
    expected = undisturbed(launcher, spec, tmp_path / "undisturbed")
    root = tmp_path / "killed"
    assert launcher.wait(launcher.start(spec, root, die_at=point)) == -signal.SIGKILL
    assert launcher.wait(launcher.start(spec, root)) == 0
    assert_same(load_run(root / spec.experiment / spec.run_key), expected)


BUDGETS = [
    ("Adam", {"samples": 170}),  # two epochs of 70 samples, and two batches of the third
    ("NAPTS", {"epochs": 3, "target": {"metric": "val_mae", "value": 0.0}}),
    ("NTR", {"passes": 25.5}),
    ("STTR", {"epochs": 3}),
    ("TTR", {"epochs": 3}),  # two probes wait for the next batch at some of these points
]


@pytest.mark.parametrize(("method", "budget"), BUDGETS)
def test_kills_of_an_own_problem(method, budget, launcher, tmp_path, spec_of) -> None:
    """Its samples come from a loader with random transforms, and are augmented."""
    plugins.load([str(Path(__file__).with_name("augmented.py"))])
    spec = spec_of(method, "augmented", budget=budget, execution={"checkpoint_every_s": 0.0})
    expected = undisturbed(launcher, spec, tmp_path / "undisturbed")
    root = tmp_path / "killed"
    for point in ("fsync:9", "write:12", "replace:9"):
        status = launcher.wait(launcher.start(spec, root, die_at=point))
        assert status in (0, -signal.SIGKILL)
    assert launcher.wait(launcher.start(spec, root)) == 0
    found = load_run(root / spec.experiment / spec.run_key)
    assert len(found.restarts) > 2
    assert_same(found, expected)
    assert target_of(found) == target_of(expected)
    assert found.status["ended_by"] == expected.status["ended_by"]


def target_of(record: RunRecord) -> dict[str, Any] | None:
    target = record.status["target"]
    return None if target is None else without_times(target)


def snapshot(directory: Path) -> dict[str, tuple[bytes, int]]:
    return {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in directory.iterdir()}


def test_second_process_leaves_everything_alone(launcher, tmp_path, spec_of) -> None:
    spec = spec_of("NAPTS", epochs=10_000)
    directory = tmp_path / spec.experiment / spec.run_key
    pid = launcher.start(spec, tmp_path)
    try:
        launcher.wait_for(directory / "epochs.jsonl", pid)
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.05)
        before = snapshot(directory)
        assert is_locked(directory)
        for mode in ("cached", "retry", "force"):
            with pytest.raises(RunBusy, match=f"process {pid}"):
                run(spec, tmp_path, mode=mode)
        assert snapshot(directory) == before
    finally:
        launcher.kill(pid)
    assert not is_locked(directory)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_a_run_in_good_order(number, launcher, tmp_path, spec_of) -> None:
    spec = spec_of("NAPTS", "synthetic-batchnorm", epochs=12)
    expected = undisturbed(launcher, spec, tmp_path / "undisturbed")
    root = tmp_path / "stopped"
    directory = root / spec.experiment / spec.run_key
    pid = launcher.start(spec, root)
    launcher.wait_for(directory / "checkpoint.previous.pt", pid)
    os.kill(pid, number)
    assert launcher.wait(pid) == 0
    record = load_run(directory)
    assert record.state == "interrupted"
    assert record.status["error"] == f"stopped by {signal.Signals(number).name}"
    assert record.status["epoch"] == record.epochs[-1]["epoch"]
    assert launcher.wait(launcher.start(spec, root)) == 0
    assert_same(load_run(directory), expected)
