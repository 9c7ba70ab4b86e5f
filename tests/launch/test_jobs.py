"""The code that jobs run, what sbatch is given, and what a job does with signals."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

from napts.experiment import SpecError
from napts.launch import job as job_module
from napts.launch.cluster import SlurmCluster, load_cluster
from napts.launch.job import RunsFailed, SweepJob
from napts.launch.packs import make_arrays
from napts.launch.plan import make_plan
from napts.launch.slurm import max_array_size, sbatch_text
from napts.launch.snapshot import Snapshot, take_snapshot
from napts.launch.sweepfile import load_sweep
from napts.records.environment import git_state
from napts.records.layout import run_directory
from tests.launch.conftest import Bench

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden"


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package in a checkout of its own."""
    folder = tmp_path / "checkout" / "napts"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("colour = 'red'\n")
    git(folder.parent, "init", "--quiet")
    git(folder.parent, "add", ".")
    git(folder.parent, "commit", "--quiet", "-m", "first")
    return folder


def test_a_snapshot_is_the_revision(package: Path, tmp_path: Path) -> None:
    snapshot = take_snapshot(tmp_path / "code", package=package)
    assert snapshot.name == git(package, "rev-parse", "HEAD")[:12]
    (package / "__init__.py").write_text("colour = 'blue'\n")
    assert (snapshot.path / "napts" / "__init__.py").read_text() == "colour = 'red'\n"
    git(package, "checkout", "--quiet", ".")
    assert take_snapshot(tmp_path / "code", package=package) == snapshot
    assert git_state(snapshot.path / "napts") == git_state(package)


def test_uncommitted_code_is_refused_or_recorded(package: Path, tmp_path: Path) -> None:
    (package / "__init__.py").write_text("colour = 'blue'\n")
    with pytest.raises(SpecError, match="uncommitted changes, allowed: a clean revision"):
        take_snapshot(tmp_path / "code", package=package)
    snapshot = take_snapshot(tmp_path / "code", package=package, allow_dirty=True)
    assert "-dirty-" in snapshot.name
    assert (snapshot.path / "napts" / "__init__.py").read_text() == "colour = 'blue'\n"
    assert git_state(snapshot.path / "napts")["git_dirty"] is True


def test_an_installed_package_is_known_by_its_version(tmp_path: Path) -> None:
    installed = tmp_path / "site-packages" / "napts"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("")
    snapshot = take_snapshot(tmp_path / "code", package=installed)
    assert snapshot.name.startswith("version-")
    assert git_state(snapshot.path / "napts")["git_revision"] is None


@pytest.mark.parametrize("begins", ["elsewhere", "in the checkout"])
def test_jobs_import_the_snapshot(tmp_path: Path, begins: str) -> None:
    """Although the package is installed in this Python, and wherever the job begins."""
    snapshot = take_snapshot(tmp_path / "code", allow_dirty=True)
    ended = subprocess.run(
        [sys.executable, "-c", "import napts.launch.job as job; print(job.__file__)"],
        env={**os.environ, **snapshot.variables()},
        cwd=tmp_path if begins == "elsewhere" else ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.strip() == str(snapshot.path / "napts" / "launch" / "job.py")


# --- what sbatch is given -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "profile", "more"),
    [
        ("array", "slurm-local", "[resources]\ntimeout_min = 5\nmemory_gb = 1.5\n"),
        ("ranks", "gpu-node-4", 'ranks = 4\ndevice = "cuda"\n[pipeline]\nstages = 4\n'),
        ("packed", "slurm-local", "[resources]\nruns_per_job = 2\n"),
    ],
)
def test_the_text_for_sbatch(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str, profile: str, more: str
) -> None:
    """Compared with a file; write it anew with NAPTS_GOLDEN=1."""
    monkeypatch.setenv("NAPTS_DATA", "/data")
    bench.write(more=more)
    cluster = load_cluster(ROOT / "slurm" / "clusters" / f"{profile}.toml")
    assert isinstance(cluster, SlurmCluster)
    cluster = cluster.model_copy(update={"python": "/venv/bin/python"})
    runs = make_plan(load_sweep(bench.sweep_file), bench.records).runs
    (array,) = make_arrays(runs, cluster, 100)
    snapshot = Snapshot(Path("/records/.launch/tests/code/0123456789ab"), "0123456789ab")
    text = sbatch_text(array, cluster, Path("/records/.launch/tests/jobs/1"), snapshot, "tests")
    golden = GOLDEN / f"{name}.sh"
    if os.environ.get("NAPTS_GOLDEN"):
        golden.write_text(text)
    assert text == golden.read_text()


def test_the_largest_array(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert max_array_size(SlurmCluster(kind="slurm", max_array_size=7)) == 7
    scontrol = tmp_path / "scontrol"
    scontrol.write_text("#!/bin/sh\necho 'MaxArraySize            = 101'\n")
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert max_array_size(SlurmCluster(kind="slurm")) == 100


# --- signals --------------------------------------------------------------------------------------


@pytest.fixture
def handed_over() -> Iterator[list[int]]:
    """Take the place of submitit's handler."""
    received: list[int] = []

    def handler(number: int, frame: FrameType | None) -> None:
        received.append(number)

    before = signal.signal(signal.SIGUSR2, handler)
    yield received
    signal.signal(signal.SIGUSR2, before)


def job_of(bench: Bench, **more: str) -> SweepJob:
    specs = tuple(spec.as_dict() for spec in load_sweep(bench.sweep_file).runs())
    return SweepJob(specs, str(bench.records), **more)


def signal_after(bench: Bench, seconds: float, number: int) -> "subprocess.Popen[bytes]":
    """Signal this process once the first run has its first checkpoint."""
    script = (
        "import os, sys, time\nfrom pathlib import Path\n"
        "while not list(Path(sys.argv[1]).glob('*/*/checkpoint.pt')): time.sleep(0.01)\n"
        "time.sleep(float(sys.argv[2])); os.kill(int(sys.argv[3]), int(sys.argv[4]))\n"
    )
    arguments = [str(bench.records), str(seconds), str(os.getpid()), str(number)]
    return subprocess.Popen([sys.executable, "-c", script, *arguments])


def test_usr2_is_handed_over_after_the_checkpoint(
    bench: Bench, handed_over: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    bench.write(windows="[5]", epochs=2000)
    sender = signal_after(bench, 0.2, signal.SIGUSR2)
    with pytest.raises(SystemExit):
        job_of(bench)()
    sender.wait()
    assert handed_over == [signal.SIGUSR2]
    (spec,) = load_sweep(bench.sweep_file).runs()
    directory = run_directory(bench.records, spec.experiment, spec.run_key)
    status = json.loads((directory / "status.json").read_text())
    assert status["state"] == "interrupted"
    assert (directory / "checkpoint.pt").exists()


def test_a_terminated_job_waits_to_be_killed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that ended by itself would count as completed, and not be requeued when preempted."""
    waited: list[float] = []
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    monkeypatch.setattr(job_module.time, "sleep", waited.append)
    bench.write(windows="[5]", epochs=2000)
    sender = signal_after(bench, 0.2, signal.SIGTERM)
    with pytest.raises(SystemExit) as ended:
        job_of(bench)()
    sender.wait()
    assert ended.value.code == 143
    assert 120.0 in waited


def test_what_a_requeued_job_starts(bench: Bench) -> None:
    """Failed runs are not retried at every requeue."""
    bench.write()
    again = job_of(bench, mode="retry").checkpoint()
    assert again.function == job_of(bench, mode="cached")


def test_a_job_tells_failures_at_the_end(bench: Bench) -> None:
    bench.write(windows="[5]")
    text = bench.sweep_file.read_text().replace("synthetic-blobs", "synthetic-batchnorm")
    broken = '[[methods]]\nmethod = "Adam"\n[methods.set]\n"budget.batch_size" = 1\n'
    bench.sweep_file.write_text(text.replace("[[methods]]", f"{broken}[[methods]]", 1))
    with pytest.raises(RunsFailed, match="1 of 2 runs failed, the first Adam: ValueError"):
        job_of(bench)()
    states = [view.state for view in make_plan(load_sweep(bench.sweep_file), bench.records).runs]
    assert states == ["failed", "done"]
