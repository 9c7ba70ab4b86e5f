"""Sweeps on this machine: real processes that are done, fail, are killed and go on."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from napts.experiment import run
from napts.launch.cluster import LocalCluster
from napts.launch.local import LocalRunner
from napts.launch.packs import Shape
from napts.launch.snapshot import Snapshot
from napts.launch.submitted import SubmittedJobs
from napts.launch.sweepfile import load_sweep
from napts.records.read import find_runs, load_run
from tests.helpers.processes import is_alive, wait_until
from tests.launch.conftest import Bench

TIMES = ("seconds", "time", "attempt", "memory")


def start(bench: Bench) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        bench.command("submit"),
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_epoch(bench: Bench, process: "subprocess.Popen[str]", epoch: int = 2) -> None:
    deadline = time.monotonic() + 90
    while True:
        paths = find_runs(bench.records)
        if any((load_run(path).status.get("epoch") or 0) >= epoch for path in paths):
            return
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def numbers(path: Path) -> Any:
    record = load_run(path)
    rows = [*record.epochs, *record.steps]
    kept = [{k: v for k, v in row.items() if not any(t in k for t in TIMES)} for row in rows]
    return kept, record.final


def test_submitting_twice_submits_nothing_new(bench: Bench) -> None:
    bench.write(seeds="[0, 1]")
    assert bench.counts() == {"missing": 4}
    assert bench.submit() == 4
    assert bench.counts() == {"done": 4}
    assert bench.submit() == 0
    told = bench.napts("status")
    assert "NTR window=5" in told
    assert "8/8" in told
    assert "8/8" in bench.napts("status", "--watch"), "there is nothing left to wait for"
    assert len(find_runs(bench.records)) == 4, "what is kept beside the runs is no run"


def test_nothing_is_touched_by_a_dry_run(bench: Bench) -> None:
    bench.write()
    told = bench.napts("submit", "--dry-run")
    assert "NTR window=0 seed 0" in told
    assert not bench.records.exists()


def test_a_killed_run_goes_on_and_ends_the_same(bench: Bench, tmp_path: Path) -> None:
    bench.write(windows="[5]", epochs=150)
    process = start(bench)
    wait_for_epoch(bench, process)
    (job,) = SubmittedJobs(bench.records, "tests").jobs()
    os.kill(int(job.job_id), signal.SIGKILL)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "ended with -9" in told
    assert bench.counts() == {"interrupted": 1}
    assert bench.submit() == 1
    (path,) = find_runs(bench.records)
    calm = run(load_sweep(bench.sweep_file).runs()[0], tmp_path / "calm")
    assert numbers(path) == numbers(calm.path)
    assert json.loads(bench.napts("status", "--json"))["methods"][-1]["restarts"] == 1


def test_an_interruption_is_passed_on(bench: Bench) -> None:
    bench.write(seeds="[0, 1, 2]", windows="[5]", epochs=400)
    process = start(bench)
    wait_for_epoch(bench, process)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    counts = bench.counts()
    # Of two at a time the second may not have begun yet.
    assert counts["missing"] in (1, 2), "no further run was started"
    assert counts["interrupted"] == 3 - counts["missing"]
    assert bench.counts() == counts


@pytest.mark.parametrize(
    ("number", "more"),
    [(signal.SIGHUP, ""), (signal.SIGKILL, "ranks = 2\n[pipeline]\nstages = 4\n")],
)
def test_jobs_end_with_who_has_started_them(
    bench: Bench, tmp_path: Path, more: str, number: signal.Signals
) -> None:
    """In good order: with a checkpoint that says why, from which the run goes on."""
    bench.write(windows="[5]", epochs=100, more=more)
    ignored = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # as it may be where tests run
    try:
        process = start(bench)
    finally:
        signal.signal(signal.SIGHUP, ignored)
    wait_for_epoch(bench, process)
    (job,) = SubmittedJobs(bench.records, "tests").jobs()
    ranks = [child.pid for child in psutil.Process(int(job.job_id)).children()]
    assert len(ranks) == (2 if more else 0)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == -number
    wait_until(lambda: not any(map(is_alive, [int(job.job_id), *ranks])), "the job to end")
    (path,) = find_runs(bench.records)
    status = load_run(path).status
    assert status["state"] == "interrupted"
    assert "SIGTERM" in status["error"]
    assert bench.submit() == 1
    calm = run(load_sweep(bench.sweep_file).runs()[0], tmp_path / "calm")
    assert numbers(path) == numbers(calm.path)


def test_cancelling_from_elsewhere(bench: Bench) -> None:
    bench.write(windows="[5]", epochs=400)
    process = start(bench)
    wait_for_epoch(bench, process)
    assert "cancelled 1 job" in bench.napts("cancel")
    process.communicate(timeout=60)
    assert bench.counts() == {"interrupted": 1}
    assert "cancelled 0 jobs" in bench.napts("cancel")


def test_one_submission_at_a_time(bench: Bench) -> None:
    bench.write(windows="[5]", epochs=400)
    process = start(bench)
    wait_for_epoch(bench, process)
    bench.napts("submit", code=3)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)


def test_failed_runs_are_told_and_retried_only_when_asked(bench: Bench) -> None:
    bench.write(windows="[5]")
    broken = '[[methods]]\nmethod = "Adam"\n[methods.set]\n"budget.batch_size" = 1\n'
    text = bench.sweep_file.read_text().replace("synthetic-blobs", "synthetic-batchnorm")
    bench.sweep_file.write_text(text + broken)
    bench.submit(code=1)
    assert bench.counts() == {"done": 1, "failed": 1}
    told = bench.napts("status", code=1)
    assert "Adam seed 0 failed: ValueError: Expected more than 1 value per channel" in told
    log = Path(told.partition("log: ")[2].split()[0])
    assert "more than 1 value" in log.read_text()
    assert bench.submit() == 0
    assert bench.submit("--retry-failed", code=1) == 1


def test_two_ranks(bench: Bench, tmp_path: Path) -> None:
    bench.write(windows="[5]", more="ranks = 2\n[pipeline]\nstages = 4\n")
    assert bench.submit() == 1
    (path,) = find_runs(bench.records)
    assert load_run(path).environment["ranks"] == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["submit", "nowhere.toml"], "nowhere.toml: cannot be read"),
        (["plan", "{sweep}", "--cluster", "nowhere.toml"], "nowhere.toml: cannot be read"),
        (["status", "{sweep}", "--set", "seeds=[]"], "seeds: found"),
    ],
)
def test_bad_input_is_told_in_a_line(bench: Bench, arguments: list[str], told: str) -> None:
    bench.write()
    words = [word.format(sweep=bench.sweep_file) for word in arguments]
    command = [*bench.command("plan")[:4], *words]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert told in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1


def test_gpus_are_dealt_out(tmp_path: Path) -> None:
    cluster = LocalCluster(kind="local", parallel=4, gpus=(0, 1, 2))
    known_jobs, snapshot = SubmittedJobs(tmp_path, "tests"), Snapshot(tmp_path, "code")
    runner = LocalRunner(cluster, known_jobs, snapshot, lambda run, code, log: None)
    pair = Shape(2, 1, True, 5, None, 1)
    assert runner._has_room(pair)
    assert list(runner._take_gpus(pair)) == [0, 1]
    assert not runner._has_room(pair), "one GPU is left"
    assert runner._has_room(Shape(1, 1, True, 5, None, 1))
    assert runner._has_room(Shape(8, 1, False, 5, None, 1)), "which needs none"
    environment = runner._environment(pair, (0, 1))
    assert environment["CUDA_VISIBLE_DEVICES"] == "0,1"
