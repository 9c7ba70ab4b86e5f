"""The one-machine cluster itself."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.slurm.conftest import SCRIPT, Cluster, listeners, require_slurm, script, wait_until

pytestmark = [pytest.mark.slurm, pytest.mark.xdist_group("slurm")]

TALKING_JOB = """#!/bin/bash
#SBATCH --signal=B:USR2@30 --requeue --open-mode=append --time=5
trap 'echo told' USR2
trap 'echo asked to end' TERM
echo start $SLURM_RESTART_COUNT
for i in $(seq 600); do sleep 0.1; done
"""


DAEMONS = {"mariadbd", "slurmdbd", "slurmctld", "slurmd"}
"""Those that others speak to by network; munged has a socket in the file system."""

PUBLIC_NAME = """
hostname public && mount --bind "$1" /etc/hosts && exec "$2" up --dir "$3"
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


def only_loopback(folder: Path, programs: set[str]) -> bool:
    """Return whether the programs listen; nothing of the cluster does beyond loopback."""
    found = listeners(folder)
    beyond = [each for each in found if not each[1].startswith("127.")]
    assert beyond == []
    return {program for program, _ in found} == programs


def test_only_this_machine_can_connect(cluster: Cluster) -> None:
    assert only_loopback(cluster.folder, DAEMONS)
    number = cluster.submit("--ntasks=2", "--output=/dev/null", "--wrap", "srun sleep 60")
    everyone = {*DAEMONS, "srun"}
    wait_until(lambda: only_loopback(cluster.folder, everyone), "srun to listen")
    cluster.run("scancel", number)


def test_a_machine_whose_name_is_public_is_not_reached_either(tmp_path: Path) -> None:
    """Slurm listens where the machine's name leads to."""
    require_slurm()
    space = ["unshare", "--uts", "--mount", "bash", "-c"]
    if subprocess.run([*space, "mount -t tmpfs none /mnt"], check=False).returncode:
        pytest.skip("this root may not name a machine of its own")
    folder, hosts, output = tmp_path / "public", tmp_path / "hosts", tmp_path / "output"
    hosts.write_text("127.0.0.1 localhost\n192.0.2.7 public\n")
    arguments = [PUBLIC_NAME, "up", str(hosts), str(SCRIPT), str(folder)]
    started = subprocess.run([*space, *arguments], capture_output=True, text=True, check=False)
    try:
        assert started.returncode == 0, started.stderr
        assert only_loopback(folder, DAEMONS)
        here = Cluster(folder, {**os.environ, "SLURM_CONF": f"{folder}/slurm.conf"})
        number = here.submit("--output", str(output), "--wrap", "srun --ntasks=1 hostname")
        wait_until(lambda: here.state(number) == "COMPLETED", "the job to end")
        assert output.read_text() == "localhost\n"
    finally:
        script("down", "--dir", str(folder))
    assert not folder.exists()


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
