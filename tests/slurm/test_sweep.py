"""A sweep on a real Slurm: what befalls its jobs, and that no run is the worse for it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from napts.experiment import run
from napts.launch.plan import RunView, make_plan
from napts.launch.slurm import job_states
from napts.launch.submitted import SubmittedJobs
from napts.launch.sweepfile import load_sweep
from napts.plotting import render
from napts.records.layout import CHECKPOINT
from napts.records.read import load_run
from tests.slurm.conftest import ROOT, Cluster, wait_until

pytestmark = [pytest.mark.slurm, pytest.mark.xdist_group("slurm")]

SWEEP = """
experiment = "sweep"
seeds = {seeds}
[workload]
name = "synthetic-batchnorm"
[budget]
epochs = {epochs}
[execution]
checkpoint_every_s = 0.3
{execution}
{pipeline}
[resources]
timeout_min = 5
memory_gb = 1
[[methods]]
method = "NAPTS"
[methods.grid]
window = {windows}
"""
CLUSTER = """
kind = "slurm"
partition = "main"
array_parallelism = {parallel}
signal_delay_s = {delay}
"""
TIMES = ("seconds", "time", "attempt", "memory")


@dataclass
class Bench:
    """A sweep file, a cluster and a folder of records."""

    cluster: Cluster
    folder: Path

    @property
    def records(self) -> Path:
        return self.folder / "records"

    def write(
        self, *, seeds: str = "[0]", windows: str = "[5]", epochs: int = 120, **more: Any
    ) -> None:
        blanks = {"execution": "", "pipeline": ""}
        text = SWEEP.format(seeds=seeds, windows=windows, epochs=epochs, **{**blanks, **more})
        (self.folder / "sweep.toml").write_text(text)
        (self.folder / "cluster.toml").write_text(CLUSTER.format(parallel=8, delay=30))

    def napts(self, command: str, *more: str, code: int = 0) -> str:
        profile = ["--cluster", str(self.folder / "cluster.toml")] if command == "submit" else []
        ended = subprocess.run(
            [
                *(sys.executable, "-m", "napts.cli", "sweep", command),
                *(str(self.folder / "sweep.toml"), *profile),
                *("--records", str(self.records), *more),
            ],
            env=self.cluster.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert ended.returncode == code, ended.stdout + ended.stderr
        return ended.stdout

    def submit(self, *more: str) -> int:
        """Submit and return how many runs were."""
        told = json.loads(self.napts("submit", "--allow-dirty", "--json", *more))
        return sum(len(job["runs"]) for job in told["submitted"])

    def runs(self) -> list[RunView]:
        sweep = load_sweep(self.folder / "sweep.toml")
        os.environ["SLURM_CONF"] = self.cluster.environment["SLURM_CONF"]
        queue = job_states(SubmittedJobs(self.records, "sweep").jobs())
        return make_plan(sweep, self.records, queue).runs

    def run(self, index: int) -> RunView:
        return self.runs()[index]

    def wait_for_epoch(self, index: int, epoch: int = 3) -> RunView:
        wait_until(lambda: self.run(index).epoch >= epoch, f"run {index} to reach epoch {epoch}")
        view = self.run(index)
        assert view.state == "running", "it is to be disturbed on the way"
        return view

    def wait_for_end(self, timeout_s: float = 180.0) -> None:
        def ended() -> bool:
            return not any(run.state in ("running", "queued") for run in self.runs())

        wait_until(ended, "all jobs to end", timeout_s)

    def restarts(self, index: int) -> list[dict[str, Any]]:
        text = (self.run(index).path / "restarts.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]

    def process(self, job_id: str) -> int:
        """Return the process of a job's first task."""
        array, _, element = job_id.partition("_")
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                variables = (entry / "environ").read_bytes().decode().split("\0")
                command = (entry / "cmdline").read_bytes().decode().split("\0")
            except (OSError, UnicodeDecodeError):
                continue
            job = f"SLURM_ARRAY_JOB_ID={array}" if element else f"SLURM_JOB_ID={array}"
            wanted = [job, f"SLURM_CONF={self.cluster.environment['SLURM_CONF']}", "SLURM_PROCID=0"]
            wanted += [f"SLURM_ARRAY_TASK_ID={element}"] if element else []
            is_task = "python" in command[0] and "submitit.core._submit" in command
            if is_task and all(variable in variables for variable in wanted):
                return int(entry.name)
        raise AssertionError(f"job {job_id} has no process")


@pytest.fixture
def bench(cluster: Cluster, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(cluster, tmp_path)
    yield bench
    if (tmp_path / "sweep.toml").exists():
        bench.napts("cancel")


def numbers(path: Path) -> Any:
    """Return all that a run computed, without how long it took."""
    record = load_run(path)
    rows = [
        {key: value for key, value in row.items() if not any(t in key for t in TIMES)}
        for row in [*record.epochs, *record.steps]
    ]
    return rows, record.final


def assert_undisturbed(bench: Bench, tmp_path: Path) -> None:
    """All runs are done, with the numbers of a run that nothing happened to."""
    for index, view in enumerate(bench.runs()):
        assert view.state == "done", (index, view)
        calm = run(view.planned.spec, tmp_path / "undisturbed")
        assert numbers(view.path) == numbers(calm.path), index


def test_twelve_runs_with_one_preempted_and_one_killed(bench: Bench, tmp_path: Path) -> None:
    """What docs/howto/slurm.md shows, on a real Slurm."""
    bench.write(seeds="[0, 1]", windows="[0, 1, 2, 3, 5, 8]", epochs=60)
    assert bench.submit() == 12
    assert bench.submit() == 0
    killed = bench.wait_for_epoch(0)
    assert killed.job is not None
    os.kill(bench.process(killed.job.job_id), signal.SIGKILL)
    node = "n2"  # the first four jobs are on n1
    wait_until(lambda: bench.run(4).epoch >= 3, "a run on the second node")
    bench.cluster.submit(
        *("--partition=urgent", f"--nodelist={node}", "--cpus-per-task=4", "--output=/dev/null"),
        *("--wrap", "sleep 1"),
    )
    bench.wait_for_end()
    states = [view.state for view in bench.runs()]
    assert states[0] == "interrupted"
    assert states[1:] == ["done"] * 11
    preempted = [i for i, view in enumerate(bench.runs()) if view.attempts > 1]
    assert preempted
    assert all(bench.restarts(i)[1]["reason"] == "resumed" for i in preempted)
    assert bench.submit() == 1
    bench.wait_for_end()
    assert bench.submit() == 0
    rows = json.loads(bench.napts("status", "--json"))["methods"]
    assert rows[-1]["states"]["done"] == 12
    assert rows[-1]["restarts"] == len(preempted) + 1
    for index in [0, *preempted[:2], 11]:
        view = bench.run(index)
        calm = run(view.planned.spec, tmp_path / "undisturbed")
        assert numbers(view.path) == numbers(calm.path), index
    assert not list(bench.records.rglob("*.db")), "jobs write run directories and nothing else"
    show(bench, tmp_path / "here")


def test_a_folder_with_all_that_a_shell_has_a_use_for(bench: Bench, tmp_path: Path) -> None:
    """Its path stands in the script of the job, in the command and in Slurm's answers."""
    folder = tmp_path / 'it\'s "my" $(touch pwned) `touch pwned`; touch pwned # & | > pwned'
    folder.mkdir()
    hostile = Bench(bench.cluster, folder)
    hostile.write(seeds="[0, 1]", epochs=2)
    text = CLUSTER.format(parallel=2, delay=30)
    (folder / "cluster.toml").write_text(f"{text}additional = {{ comment = '$(id) #\"x\"' }}\n")
    assert hostile.submit() == 2
    hostile.wait_for_end()
    assert [view.state for view in hostile.runs()] == ["done", "done"]
    job = hostile.run(0).job
    assert job is not None
    assert Path(job.log).exists()
    assert 'Comment=$(id) #"x"' in bench.cluster.run("scontrol", "show", "job", job.job_id)
    assert not list(tmp_path.rglob("pwned*"))
    assert not (ROOT / "pwned").exists()  # where sbatch was called


def show(bench: Bench, here: Path) -> None:
    """Collect the sweep elsewhere, as on the reader's machine: MLflow and the figure have it."""
    from napts.tracking.store import Store, default_tracking_uri, quiet

    told = bench.napts("collect", str(bench.records), "--records", str(here))
    assert "12" in told
    with quiet():
        store = Store(default_tracking_uri(here))
        runs = store.runs(store.experiment_id("sweep"))
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert len(children) == 12
    assert {run.info.status for run in runs} == {"FINISHED"}
    figures = render("figure2", here, here.parent / "figures")
    assert any(file.suffix == ".svg" and file.stat().st_size > 10_000 for file in figures)


def test_the_end_of_the_time_is_survived(bench: Bench, tmp_path: Path) -> None:
    """USR2, as Slurm sends it before the limit: checkpoint, requeue, and on it goes."""
    bench.write()
    bench.submit()
    view = bench.wait_for_epoch(0)
    assert view.job is not None
    bench.cluster.run("scancel", "--signal=USR2", view.job.job_id)
    wait_until(lambda: bench.run(0).attempts == 2, "the run to be started again")
    bench.wait_for_end()
    assert_undisturbed(bench, tmp_path)
    assert len(bench.restarts(0)) == 2


def test_slurms_own_time_limit(bench: Bench) -> None:
    """Slurm looks at the limits of its jobs every half a minute, so this takes a while."""
    bench.write(epochs=1300)
    profile = CLUSTER.format(parallel=8, delay=55)
    (bench.folder / "cluster.toml").write_text(profile)
    text = (bench.folder / "sweep.toml").read_text().replace("timeout_min = 5", "timeout_min = 1")
    (bench.folder / "sweep.toml").write_text(text)
    bench.submit()
    bench.wait_for_end(240)
    assert len(bench.restarts(0)) >= 2
    assert bench.run(0).state == "done"


def test_a_cancelled_run_goes_on_from_an_older_checkpoint(bench: Bench, tmp_path: Path) -> None:
    """`napts sweep cancel`; the newest checkpoint is damaged before the run is submitted again."""
    bench.write()
    bench.submit()
    bench.wait_for_epoch(0)
    assert "cancelled 1 job" in bench.napts("cancel")
    bench.wait_for_end()
    view = bench.run(0)
    assert view.state == "interrupted"
    newest = view.path / CHECKPOINT
    newest.write_bytes(newest.read_bytes()[:-100])
    assert bench.submit() == 1
    bench.wait_for_end()
    assert_undisturbed(bench, tmp_path)
    assert "older one" in bench.restarts(0)[1]["reason"]
    assert "damaged" in bench.restarts(0)[1]["reason"]


def test_a_node_that_fails(bench: Bench, tmp_path: Path) -> None:
    """Everything on it is gone at once; Slurm notices, and starts the job on another node."""
    bench.write(epochs=300)
    bench.submit()
    view = bench.wait_for_epoch(0)
    assert view.job is not None
    node = bench.cluster.run("squeue", "-h", "-j", view.job.job_id, "-o", "%N").strip()
    daemon = int((bench.cluster.folder / "run" / node).read_text().split()[0])
    step_daemons = subprocess.run(
        ["pgrep", "-f", "slurmstepd"], capture_output=True, text=True, check=False
    ).stdout.split()
    conf = f"SLURM_CONF={bench.cluster.environment['SLURM_CONF']}"
    mine = [pid for pid in step_daemons if conf in _environment(int(pid))]
    task = bench.process(view.job.job_id)
    for pid in [daemon, *map(int, mine), task]:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: bench.run(0).attempts == 2, "the job to be started elsewhere", 120)
    bench.wait_for_end()
    assert_undisturbed(bench, tmp_path)
    environment = {**bench.cluster.environment}
    subprocess.Popen(
        ["slurmd", "-N", node, "-f", environment["SLURM_CONF"]], env=environment
    ).wait()
    states = ("idle", "mixed", "allocated")
    wait_until(
        lambda: bench.cluster.run("sinfo", "-h", "-n", node, "-o", "%T").split()[0] in states,
        "the node to be back",
    )


def test_four_ranks_as_one_job(bench: Bench, tmp_path: Path) -> None:
    """Tasks of the job are the ranks; the numbers are those of one rank, also over a requeue."""
    bench.write(epochs=40, execution="ranks = 4", pipeline="[pipeline]\nmicro_batches = 2")
    bench.submit()
    view = bench.wait_for_epoch(0)
    assert view.job is not None
    bench.cluster.run("scancel", "--signal=USR2", view.job.job_id)
    bench.wait_for_end()
    record = load_run(bench.run(0).path)
    assert record.environment["ranks"] == 4
    assert len(record.restarts) == 2
    spec = bench.run(0).planned.spec
    one = spec.model_copy(update={"execution": spec.execution.model_copy(update={"ranks": 1})})
    assert one.run_key == spec.run_key
    calm = run(one, tmp_path / "undisturbed")
    assert numbers(record.path) == numbers(calm.path)


def test_a_failed_run_is_told_and_retried_only_when_asked(bench: Bench, tmp_path: Path) -> None:
    """Two runs in one job: the first fails, the second is done all the same."""
    bench.write(windows="[2, 5]", epochs=3)
    text = (bench.folder / "sweep.toml").read_text()
    packed = text.replace("memory_gb = 1", "memory_gb = 1\nruns_per_job = 2")
    # A batch of one sample is more than BatchNorm bears.
    broken = packed.replace(
        "[[methods]]",
        "[[methods]]\nmethod = 'Adam'\n[methods.set]\n'budget.batch_size' = 1\n[[methods]]",
        1,
    )
    (bench.folder / "sweep.toml").write_text(broken)
    assert bench.submit() == 3
    bench.wait_for_end()
    assert [view.state for view in bench.runs()] == ["failed", "done", "done"]
    told = bench.napts("status", code=1)
    assert "more than 1 value per channel" in told
    log = told.partition("log: ")[2].split()[0]
    assert "more than 1 value per channel" in Path(log).read_text()
    assert bench.submit() == 0
    assert bench.submit("--retry-failed") == 1
    bench.wait_for_end()
    assert bench.run(0).attempts == 2


def test_a_full_disk(bench: Bench, tmp_path: Path) -> None:
    """The run stops with a clear word, its checkpoint intact, and goes on when there is room."""
    full = bench.records / "sweep"  # where the runs are; what belongs to jobs is beside it
    full.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(full)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system: {mounted.stderr.strip()}")
    try:
        bench.write(epochs=400)
        bench.submit()
        bench.wait_for_end()
        view = bench.run(0)
        assert view.state == "interrupted"
        assert view.job is not None
        assert "No space left on device" in Path(view.job.log).read_text()
        assert (view.path / CHECKPOINT).exists()
        subprocess.run(["mount", "-o", "remount,size=100m", str(full)], check=True)
        assert bench.submit() == 1
        bench.wait_for_end()
        assert bench.restarts(0)[1]["reason"] == "resumed"
        assert_undisturbed(bench, tmp_path)
    finally:
        bench.napts("cancel")
        subprocess.run(["umount", "--lazy", str(full)], check=True)


def _environment(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []
