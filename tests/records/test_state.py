"""Telling the living from the dead."""

import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import pytest

from napts.records.state import MLFLOW_STATUS, judge

HERE = platform.node()


def _running(**columns):
    return {"state": "running", "updated": time.time(), "pid": os.getpid(), "hostname": HERE} | (
        columns
    )


def _age(path: Path, seconds: float) -> None:
    moment = time.time() - seconds
    for file in path.iterdir():
        os.utime(file, (moment, moment))


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    (tmp_path / "status.json").write_text("{}")
    return tmp_path


def test_a_living_process_is_running(run_dir):
    state = judge(run_dir, _running())
    assert (state.name, state.mlflow_status, state.end_time) == ("running", "RUNNING", None)


def test_a_living_process_may_be_silent_for_as_long_as_it_likes(run_dir):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        _age(run_dir, 1e6)
        assert judge(run_dir, _running(pid=child.pid), stale_after_s=1.0).name == "running"
    finally:
        child.communicate()


def test_an_ended_process_was_killed(run_dir):
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    updated = time.time() + 5.0
    state = judge(run_dir, _running(pid=child.pid, updated=updated))
    assert (state.name, state.mlflow_status) == ("killed", "KILLED")
    assert state.end_time == updated


def test_a_process_that_nobody_reaped_was_killed(run_dir):
    child = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.read()
    time.sleep(0.2)
    assert judge(run_dir, _running(pid=child.pid)).name == "killed"
    child.communicate()


def test_another_process_with_the_same_number_does_not_count(run_dir):
    assert judge(run_dir, _running(updated=1_000_000_000.0)).name == "killed"


def test_another_machine_is_judged_by_its_silence(run_dir):
    status = _running(hostname="far-away", pid=1, updated=time.time() - 100)
    _age(run_dir, 100)
    assert judge(run_dir, status, stale_after_s=200).name == "running"
    assert judge(run_dir, status, stale_after_s=50).name == "killed"
    (run_dir / "checkpoint.pt").write_text("")
    assert judge(run_dir, status, stale_after_s=50).name == "running"


@pytest.mark.parametrize("state", ["done", "failed", "diverged", "interrupted"])
def test_an_ended_run_keeps_its_state(run_dir, state):
    judged = judge(run_dir, _running(state=state, updated=12.0))
    assert (judged.name, judged.end_time) == (state, 12.0)
    assert judged.mlflow_status == MLFLOW_STATUS[state] != "RUNNING"


def test_a_run_without_a_status_is_not_running(run_dir):
    assert judge(run_dir, {"state": "interrupted", "final": None}).mlflow_status == "KILLED"


@pytest.mark.parametrize("target", ["nothing", "epochs.jsonl"])
def test_a_link_that_leads_nowhere_is_no_obstacle(run_dir, target):
    (run_dir / "epochs.jsonl").symlink_to(target)
    assert judge(run_dir, {"state": "interrupted"}).name == "interrupted"
