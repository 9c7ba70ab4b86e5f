"""A real Slurm on this machine, started and ended by the tests."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "slurm" / "local_cluster.sh"
PROGRAMS = ("sbatch", "slurmctld", "slurmd", "slurmdbd", "munged", "mariadbd", "ss")


@dataclass(frozen=True)
class Cluster:
    """A running cluster.

    Attributes:
        folder: Where it lives.
        environment: Variables under which Slurm's commands speak to it.
    """

    folder: Path
    environment: dict[str, str]

    def run(self, *command: str) -> str:
        """Run a command that has to succeed and return what it prints."""
        ended = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert ended.returncode == 0, f"{command}: {ended.stdout}{ended.stderr}"
        return ended.stdout

    def submit(self, *arguments: str) -> str:
        """Submit with sbatch and return the job's number."""
        return self.run("sbatch", "--parsable", *arguments).strip()

    def state(self, job_id: str) -> str:
        """Return what the controller says of a job."""
        text = self.run("scontrol", "--oneliner", "show", "job", job_id)
        return text.partition("JobState=")[2].split()[0]


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 90.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(0.1)


def script(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(SCRIPT), *arguments], capture_output=True, text=True, timeout=180, check=False
    )


def listeners(folder: Path) -> list[tuple[str, str]]:
    """Return program and local address of all sockets to which a cluster's processes listen."""
    told = subprocess.run(["ss", "-Hltunp"], capture_output=True, text=True, check=True).stdout
    configuration = f"SLURM_CONF={folder}/slurm.conf".encode()
    found = []
    for line in told.splitlines():
        address = line.split()[4]
        for program, pid in re.findall(r'"([^"]+)",pid=(\d+)', line):
            variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            if configuration in variables:
                found.append((program, address))
    return found


def require_slurm() -> None:
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    reason = "needs root" if os.geteuid() else f"not installed: {', '.join(missing)}"
    if missing or os.geteuid():
        if os.environ.get("CI"):
            pytest.fail(f"slurm/local_cluster.sh: {reason}")
        pytest.skip(f"{reason}; slurm/local_cluster.sh install")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    require_slurm()
    folder = tmp_path_factory.mktemp("cluster") / "slurm"
    started = script("up", "--dir", str(folder))
    try:
        assert started.returncode == 0, started.stderr
        name, _, value = started.stdout.removeprefix("export ").strip().partition("=")
        variables = {name: value, "OMP_NUM_THREADS": "1"}
        yield Cluster(folder, {**os.environ, **variables})
    finally:
        script("down", "--dir", str(folder))
