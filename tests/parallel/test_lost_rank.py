"""Runs on ranks that are killed, and go on: with the command line and real processes."""

import json
import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.helpers.processes import is_alive
from tests.helpers.processes import wait_until as wait_for
from tests.helpers.rank_runs import (
    arguments,
    directory,
    epochs_done,
    finish,
    rows,
    started,
    status,
    wait_until,
)

SPEC = """
experiment = "ranks"
label = "{method}"
[workload]
name = "synthetic-batchnorm"
[optimizer]
method = "{method}"
{options}
[budget]
epochs = {epochs}
[pipeline]
stages = 4
micro_batches = 2
[execution]
checkpoint_every_s = 0.2
"""
EPOCHS = 25


def write_spec(folder: Path, method: str = "NAPTS", options: str = "") -> None:
    folder.mkdir(exist_ok=True)
    text = SPEC.format(method=method, options=options, epochs=EPOCHS)
    (folder / "spec.toml").write_text(text)


def rank_processes(launcher: int) -> dict[int, int]:
    """Return the process of each rank."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            variables = (entry / "environ").read_bytes().split(b"\0")
        except (OSError, ValueError, IndexError):
            continue
        rank = [v for v in variables if v.startswith(b"RANK=")]
        if parent == launcher and rank:
            found[int(rank[0].removeprefix(b"RANK="))] = int(entry.name)
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    write_spec(folder)
    finish(folder, 1)
    return folder


@pytest.mark.parametrize(("victim", "resumed_on"), [(2, 2), (0, 4)])
def test_a_killed_rank_ends_the_others_and_the_run_goes_on(
    tmp_path: Path, undisturbed: Path, victim: int, resumed_on: int
) -> None:
    write_spec(tmp_path)
    with started(tmp_path, 4) as process:
        wait_until(lambda: epochs_done(tmp_path) >= 2, process)
        processes = rank_processes(process.pid)
        assert sorted(processes) == [0, 1, 2, 3]
        os.kill(processes[victim], signal.SIGKILL)
        _, told = process.communicate(timeout=60)
        assert process.returncode == 1
    assert f"rank {victim} (process {processes[victim]}" in told or victim == 0
    assert f"rank {victim}" in told
    for pid in processes.values():
        assert not Path(f"/proc/{pid}").exists()
    if victim:
        assert status(tmp_path)["state"] == "interrupted"
        assert f"rank {victim}" in status(tmp_path)["error"]
    finish(tmp_path, resumed_on)
    assert rows(tmp_path, "epochs") == rows(undisturbed, "epochs")
    assert rows(tmp_path, "steps") == rows(undisturbed, "steps")
    restarts = (directory(tmp_path) / "restarts.jsonl").read_text().splitlines()
    assert len(restarts) == 2
    assert json.loads(restarts[1])["resumed_from_epoch"] >= 1


def test_a_killed_parent_takes_its_ranks_with_it(tmp_path: Path, undisturbed: Path) -> None:
    """They have no time to notice anything, and the run goes on from its checkpoint."""
    write_spec(tmp_path)
    with started(tmp_path, 2) as process:
        wait_until(lambda: epochs_done(tmp_path) >= 2, process)
        wait_until((directory(tmp_path) / "checkpoint.pt").exists, process)
        ranks = rank_processes(process.pid)
        assert sorted(ranks) == [0, 1]
        addresses = [a for pid in (process.pid, *ranks.values()) for a in listening(pid)]
        assert set(addresses) == {"127.0.0.1"}
        process.kill()
        _, told = process.communicate(timeout=60)
    assert "lost" not in told
    wait_for(lambda: not any(map(is_alive, ranks.values())), "the ranks to end")
    assert epochs_done(tmp_path) < EPOCHS
    finish(tmp_path, 2)
    assert rows(tmp_path, "epochs") == rows(undisturbed, "epochs")
    assert rows(tmp_path, "steps") == rows(undisturbed, "steps")
    restarts = (directory(tmp_path) / "restarts.jsonl").read_text().splitlines()
    assert [json.loads(row)["reason"] for row in restarts] == ["started", "resumed"]


def listening(pid: int) -> list[str]:
    """Return the local addresses to whose ports a process listens."""
    connections = psutil.Process(pid).net_connections(kind="inet")
    return [each.laddr.ip for each in connections if each.status == psutil.CONN_LISTEN]


def test_a_polite_end_leaves_a_checkpoint(tmp_path: Path, undisturbed: Path) -> None:
    write_spec(tmp_path)
    with started(tmp_path, 2) as process:
        wait_until(lambda: epochs_done(tmp_path) >= 2, process)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=90)
        assert process.returncode == 130
    assert status(tmp_path)["state"] == "interrupted"
    finish(tmp_path, 1)
    assert rows(tmp_path, "steps") == rows(undisturbed, "steps")


def test_a_method_that_keeps_iterates_goes_on_with_other_ranks(tmp_path: Path) -> None:
    """Remembered parameters and radius are divided anew."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for folder in (whole, cut):
        write_spec(folder, "NTR", 'history_scope = "reeval"')
    finish(whole, 2)
    with started(cut, 4) as process:
        wait_until(lambda: epochs_done(cut) >= 2, process)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=90)
    finish(cut, 3)
    assert rows(cut, "steps") == rows(whole, "steps")


def test_what_a_spec_may_not_ask_for(tmp_path: Path) -> None:
    write_spec(tmp_path)
    for setting, allowed in [
        ("execution.ranks=5", "allowed: 1 to 4"),
        ("pipeline.stages=3", "allowed: 4"),
        ("pipeline.micro_batches=0", ">= 1"),
    ]:
        ended = subprocess.run(
            arguments(tmp_path, 1, "--set", setting), capture_output=True, text=True, check=False
        )
        assert ended.returncode == 2
        assert allowed in ended.stderr
        assert len(ended.stderr.strip().splitlines()) == 1
