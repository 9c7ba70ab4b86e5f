"""Cancelling local jobs: a list of jobs with anything in it ends nobody else's process."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace

import psutil
import pytest
from click.testing import CliRunner

from napts.cli import main
from napts.launch.local import cancel_local
from napts.launch.submitted import Job, SubmittedJobs
from tests.launch.conftest import Bench

WAITS = "import sys, time; print(flush=True); time.sleep(600)"


@pytest.fixture
def process() -> Iterator["subprocess.Popen[bytes]"]:
    """A process of somebody else's, which looks like a job but for the file that it is given."""
    command = [sys.executable, "-c", WAITS, "napts.launch.job", "/records/other.json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_number_and_a_start_are_not_enough(process: "subprocess.Popen[bytes]") -> None:
    started = psutil.Process(process.pid).create_time()
    mine = Job(str(process.pid), "local", ("key",), "/records/mine.log", 0.0, "code", started)
    others = [replace(mine, job_id=text) for text in ("x", "-1", "", "9" * 30, "1.5")]
    assert cancel_local([mine, *others, replace(mine, started=None)]) == []
    assert process.poll() is None
    assert cancel_local([replace(mine, log="/records/other.log", started=started + 1)]) == []
    its_own = replace(mine, log="/records/other.log")
    assert cancel_local([its_own]) == [its_own]
    assert process.wait(60) != 0


def test_a_damaged_list_is_told_in_a_line(bench: Bench) -> None:
    bench.write()
    jobs = SubmittedJobs(bench.records, "tests")
    jobs.add([])
    good = asdict(Job("1", "local", ("key",), "/records/mine.log", 0.0, "code"))
    for row in ({}, {**good, "log": 5}, []):
        (jobs.folder / "ledger.jsonl").write_text(json.dumps(row) + "\n")
        command = ["sweep", "cancel", str(bench.sweep_file), "--records", str(bench.records)]
        ended = CliRunner().invoke(main, command)
        assert ended.exit_code == 2
        assert ended.stderr.count("\n") == 1
        assert "ledger.jsonl: line 1" in ended.stderr
