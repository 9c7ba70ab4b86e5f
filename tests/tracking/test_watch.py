"""Following runs while they train, with stores that come and go."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from napts.tracking import (
    SyncBusy,
    SyncReport,
    TrackingUnavailable,
    default_tracking_uri,
    start_watcher,
    sync,
    watch,
)
from napts.tracking.import_lock import exclusive
from napts.tracking.importer import open_importer
from napts.tracking.store import lock_path

DEADLINE_S = 120.0


def _eventually(condition, what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"never happened: {what}")
        time.sleep(0.1)


def test_a_watch_follows_a_run_and_ends_with_a_last_pass(records, make_run, mlflow_of):
    run = make_run().begin().epoch(0)
    reports: list[SyncReport] = []

    def until() -> bool:
        if len(reports) == 1:
            run.epoch(1)
        if len(reports) == 2:
            # Written after the last regular pass: only a further one can bring it over.
            run.epoch(2).epoch(3).done()
        return len(reports) >= 2

    result = watch(records, interval_s=0.05, until=until, report=reports.append)
    assert (result.passes, result.failures, result.behind) == (3, 0, None)
    assert [(r.created, r.updated) for r in reports] == [(1, 0), (0, 1), (0, 1)]
    mlflow = mlflow_of(records)
    assert mlflow.runs()["NAPTS seed 0"].info.status == "FINISHED"
    assert len(mlflow.history(mlflow.runs()["NAPTS seed 0"], "val_loss")) == 4


def test_a_watch_notices_a_death_that_writes_nothing(records, make_run, mlflow_of):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    make_run().begin().epoch(0).status("running", pid=child.pid)
    importer = open_importer(records)
    assert importer.run_pass().created == 1
    assert importer.run_pass().unchanged == 1
    child.communicate()
    assert importer.run_pass().updated == 1
    assert mlflow_of(records).runs()["NAPTS seed 0"].info.status == "KILLED"


def test_an_absent_server_is_one_line_and_no_error(records, make_run, server, capsys):
    make_run().whole()
    looks = iter(range(40))
    result = watch(records, server.uri, 0.05, until=lambda: next(looks) >= 30, last_tries_s=0.0)
    assert result.passes == 0
    assert result.failures >= 2
    assert result.behind == f"{server.uri}: no connection"
    (line,) = capsys.readouterr().err.splitlines()
    assert "the records are safe" in line
    with pytest.raises(TrackingUnavailable, match="no connection"):
        sync(records, server.uri)


def test_passwords_do_not_show(records, make_run, server):
    make_run().whole()
    with pytest.raises(TrackingUnavailable) as caught:
        sync(records, server.uri.replace("//", "//someone:secret@"))
    assert "secret" not in str(caught.value)


@pytest.mark.slow
def test_a_server_that_dies_and_returns_is_caught_up(records, make_run, server, mlflow_of, capsys):
    run = make_run().begin().epoch(0)
    result = []
    stop = threading.Event()
    passes: list[SyncReport] = []

    def follow() -> None:
        result.append(watch(records, server.uri, 0.2, until=stop.is_set, report=passes.append))

    server.start()
    thread = threading.Thread(target=follow)
    thread.start()
    _eventually(lambda: passes, "the first pass")
    server.stop()
    run.epoch(1).epoch(2)
    heard: list[str] = []
    _eventually(
        lambda: heard.append(capsys.readouterr().err) or "records are safe" in "".join(heard),
        "the line about the outage",
    )
    run.epoch(3).done()
    server.start()
    before = len(passes)
    _eventually(lambda: len(passes) > before, "a pass after the outage")
    stop.set()
    thread.join()
    assert result[0].behind is None
    mlflow = mlflow_of(server.uri)
    copy = mlflow.runs()["NAPTS seed 0"]
    assert copy.info.status == "FINISHED"
    assert [step for step, _ in mlflow.history(copy, "val_loss")] == [0, 1, 2, 3]
    assert {file.path for file in mlflow.client.list_artifacts(copy.info.run_id)} == {
        "spec.json",
        "environment.json",
    }
    assert "has caught up" in "".join(heard) + capsys.readouterr().err
    assert sync(records, server.uri) == SyncReport(unchanged=1)


def test_a_second_sync_waits_or_says_who_is_in_the_way(records, make_run):
    make_run().whole()
    lock = lock_path(records, default_tracking_uri(records))
    with exclusive(lock, 0.0), pytest.raises(SyncBusy, match="another sync holds"):
        sync(records, lock_wait_s=0.2)
    assert sync(records, lock_wait_s=0.2).created == 1


def test_syncs_at_the_same_time_make_no_second_copy(records, make_run, mlflow_of):
    for seed in range(4):
        make_run(seed=seed).whole()
    code = "import sys; from napts.tracking import sync; r = sync(sys.argv[1]); print(r.created)"
    command = [sys.executable, "-c", code, str(records)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    created = [int(process.communicate()[0]) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(created) == [0, 4]
    assert len(mlflow_of(records).runs()) == 4


def test_the_watcher_process_brings_over_what_was_written(records, make_run, mlflow_of):
    run = make_run().begin().epoch(0)
    watcher = start_watcher(records, interval_s=0.2)
    run.epoch(1).epoch(2).epoch(3).done()
    assert watcher.finish(timeout_s=DEADLINE_S) is None
    assert mlflow_of(records).runs()["NAPTS seed 0"].info.status == "FINISHED"
    assert (records / "sync.log").read_text() == ""


def test_the_watcher_says_when_it_is_behind(records, make_run, server):
    make_run().whole()
    watcher = start_watcher(records, server.uri)
    line = watcher.finish(timeout_s=0.0)
    assert line is not None
    assert f"napts sync {records}" in line
    os.killpg(watcher.process.pid, signal.SIGKILL)
    os.waitpid(watcher.process.pid, 0)


def test_the_watcher_ends_after_its_parent_was_killed(records, make_run, mlflow_of):
    make_run().begin().epoch(0).status("running", pid=0)
    code = (
        "import os, sys, signal; from napts.tracking import start_watcher\n"
        "print(start_watcher(sys.argv[1]).process.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    run = subprocess.run([sys.executable, "-c", code, str(records)], capture_output=True, text=True)
    assert run.returncode == -signal.SIGKILL
    pid = int(run.stdout)
    _eventually(lambda: not _lives(pid), "the end of the watcher")
    assert mlflow_of(records).runs()["NAPTS seed 0"].info.status == "KILLED"


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_interval_must_be_positive(records):
    with pytest.raises(ValueError, match="interval_s must be positive"):
        watch(records, interval_s=0.0, until=lambda: True)
