"""The one-machine cluster itself."""

import subprocess
from pathlib import Path

import pytest

from tests.slurm.conftest import Cluster, require_slurm, script, wait_until

pytestmark = [pytest.mark.slurm, pytest.mark.xdist_group("slurm")]

TALKING_JOB = """#!/bin/bash
#SBATCH --signal=B:USR2@30 --requeue --open-mode=append --time=5
trap 'echo told' USR2
trap 'echo asked to end' TERM
echo start $SLURM_RESTART_COUNT
for i in $(seq 600); do sleep 0.1; done
"""


@pytest.fixture
def talking_job(tmp_path: Path) -> tuple[str, Path]:
    job, output = tmp_path / "job.sh", tmp_path / "output.txt"
    job.write_text(TALKING_JOB)
    return str(job), output


def starts(output: Path) -> int:
    return output.read_text().count("start") if output.exists() else 0


def test_jobs_run_and_are_accounted_for(cluster: Cluster, tmp_path: Path) -> None:
    array = cluster.submit("--array=0-3", "--output", f"{tmp_path}/%a", "--wrap", "hostname")
    wait_until(lambda: len(list(tmp_path.iterdir())) == 4, "four outputs")

    def accounted() -> bool:
        told = cluster.run("sacct", "-X", "-n", "-P", "--format=JobID,State", "-j", array)
        return told.count("COMPLETED") == 4

    wait_until(accounted, "four completed jobs in the accounting")
    assert cluster.run("sinfo", "-hN", "-p", "main", "-o", "%N").split() == ["n1", "n2", "n3", "n4"]


def test_a_requeued_job_starts_again_soon(cluster: Cluster, talking_job: tuple[str, Path]) -> None:
    job, output = talking_job
    number = cluster.submit("--output", str(output), job)
    wait_until(lambda: starts(output) == 1, "the job to start")
    cluster.run("scontrol", "requeue", number)
    wait_until(lambda: starts(output) == 2, "the job to start again", timeout_s=60)
    cluster.run("scancel", number)
    wait_until(lambda: cluster.state(number) == "CANCELLED", "the job to be cancelled")


def test_an_urgent_job_preempts(cluster: Cluster, talking_job: tuple[str, Path]) -> None:
    job, output = talking_job
    number = cluster.submit("--output", str(output), "--nodelist=n2", "--cpus-per-task=4", job)
    wait_until(lambda: starts(output) == 1, "the job to start")
    cluster.submit(
        *("--partition=urgent", "--nodelist=n2", "--cpus-per-task=4", "--output=/dev/null"),
        *("--wrap", "sleep 1"),
    )
    wait_until(lambda: starts(output) == 2, "the job to start again", timeout_s=60)
    assert "asked to end" in output.read_text()
    cluster.run("scancel", number)


def test_user_signals_arrive(cluster: Cluster, talking_job: tuple[str, Path]) -> None:
    job, output = talking_job
    number = cluster.submit("--output", str(output), job)
    wait_until(lambda: starts(output) == 1, "the job to start")
    cluster.run("scancel", "--batch", "--signal=USR2", number)
    wait_until(lambda: "told" in output.read_text(), "the signal")
    cluster.run("scancel", number)


def test_up_and_down(tmp_path: Path) -> None:
    """A second cluster beside the first; it goes without a trace."""
    require_slurm()
    folder = tmp_path / "another"
    assert script("status", "--dir", str(folder)).returncode == 1
    first = script("up", "--dir", str(folder))
    try:
        assert first.returncode == 0, first.stderr
        assert first.stdout == f"export SLURM_CONF={folder}/slurm.conf\n"
        told = script("status", "--dir", str(folder))
        assert told.returncode == 0, told.stdout
        again = script("up", "--dir", str(folder))
        assert again.stdout == first.stdout
        assert "already up" in again.stderr
    finally:
        ended = script("down", "--dir", str(folder))
    assert ended.returncode == 0, ended.stderr
    assert not folder.exists()
    left = subprocess.run(["pgrep", "-f", str(folder)], capture_output=True, text=True, check=False)
    assert left.stdout == ""
    assert script("down", "--dir", str(folder)).returncode == 0


@pytest.mark.parametrize("arguments", [[], ["sideways"], ["up", "--dir"], ["up", "--fast"]])
def test_bad_input_is_told(arguments: list[str]) -> None:
    told = script(*arguments)
    assert told.returncode == 2
    assert "usage:" in told.stderr
