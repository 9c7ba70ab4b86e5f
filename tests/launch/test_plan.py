"""What a plan says of runs in every state, from fabricated records and job states."""

import json
import os
import platform
import re
import time
from pathlib import Path
from typing import Any

import pytest

from napts.launch.cluster import LocalCluster, SlurmCluster
from napts.launch.packs import make_arrays
from napts.launch.plan import RunView, make_plan
from napts.launch.status import as_data, failures, progress
from napts.launch.submitted import Job, SubmittedJobs
from napts.launch.sweepfile import Sweep, load_sweep
from napts.records.damage import NewerSchema
from napts.records.layout import run_directory
from tests.launch.conftest import Bench

NOW = time.time()


def write_status(sweep: Sweep, root: Path, index: int, **status: Any) -> Path:
    spec = sweep.runs()[index]
    directory = run_directory(root, spec.experiment, spec.run_key)
    directory.mkdir(parents=True, exist_ok=True)
    alive = {"pid": os.getpid(), "hostname": platform.node(), "updated": NOW, "attempt": 1}
    final = {"final": {"val_loss": 1.0}, "ended_by": "target"}
    more = final if status["state"] == "done" else {}
    rows = [{"attempt": 1, "epoch": n, "time": NOW} for n in range(status.get("epoch", 0) + 1)]
    (directory / "spec.json").write_text(json.dumps(spec.header()))
    (directory / "epochs.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (directory / "status.json").write_text(json.dumps({**alive, "error": None, **more, **status}))
    return directory


def state_of(sweep: Sweep, root: Path, queue: dict[Job, str] | None = None) -> RunView:
    return make_plan(sweep, root, queue).runs[0]


@pytest.fixture
def sweep(bench: Bench) -> Sweep:
    bench.write(epochs=10)
    return load_sweep(bench.sweep_file)


@pytest.mark.parametrize("state", ["done", "failed", "diverged", "interrupted"])
def test_what_the_records_say(sweep: Sweep, tmp_path: Path, state: str) -> None:
    write_status(sweep, tmp_path, 0, state=state, epoch=4)
    first, second = make_plan(sweep, tmp_path).runs
    assert (first.state, first.epoch) == (state, 4)
    assert second.state == "missing"


def test_a_run_whose_process_lives_is_running(sweep: Sweep, tmp_path: Path) -> None:
    write_status(sweep, tmp_path, 0, state="running", epoch=1)
    assert state_of(sweep, tmp_path).state == "running"


def test_a_run_whose_process_is_gone_is_interrupted(sweep: Sweep, tmp_path: Path) -> None:
    write_status(sweep, tmp_path, 0, state="running", epoch=1, pid=2**22 + 1)
    assert state_of(sweep, tmp_path).state == "interrupted"


@pytest.mark.parametrize(
    ("claimed", "job_state", "expected"),
    [
        (None, "PENDING", "queued"),
        (None, "RUNNING", "running"),
        (None, "FAILED", "missing"),
        (None, None, "missing"),
        ("running", "RUNNING", "running"),
        ("running", "PENDING", "queued"),
        ("running", "TIMEOUT", "interrupted"),
        ("running", "NODE_FAIL", "interrupted"),
        ("interrupted", "PENDING", "queued"),
        ("interrupted", "CANCELLED", "interrupted"),
        ("done", "RUNNING", "done"),
        ("failed", "FAILED", "failed"),
    ],
)
def test_slurm_knows_better_than_the_records(
    sweep: Sweep, tmp_path: Path, claimed: str | None, job_state: str | None, expected: str
) -> None:
    """A killed process leaves its status as it was; only a run that has ended has the last word."""
    key = sweep.runs()[0].run_key
    job = Job("7_0", "slurm", (key,), "log", NOW - 60, "code")
    SubmittedJobs(tmp_path, "tests").add([job])
    if claimed is not None:
        write_status(sweep, tmp_path, 0, state=claimed, epoch=1)
    queue = {} if job_state is None else {job: job_state}
    view = state_of(sweep, tmp_path, queue)
    assert (view.state, view.job_state) == (expected, job_state)


def test_a_failed_run_that_was_submitted_again_is_queued(sweep: Sweep, tmp_path: Path) -> None:
    key = sweep.runs()[0].run_key
    write_status(sweep, tmp_path, 0, state="failed", epoch=1, error="E")
    job = Job("8", "slurm", (key,), "log", NOW + 60, "code")
    SubmittedJobs(tmp_path, "tests").add([job])
    assert state_of(sweep, tmp_path, {job: "PENDING"}).state == "queued"
    assert state_of(sweep, tmp_path, {job: "CANCELLED"}).state == "failed"


def test_of_several_runs_in_a_job_the_records_say_which_is_at_work(
    sweep: Sweep, tmp_path: Path
) -> None:
    keys = tuple(run.run_key for run in sweep.runs())
    job = Job("9", "slurm", keys, "log", NOW - 60, "code")
    SubmittedJobs(tmp_path, "tests").add([job])
    write_status(sweep, tmp_path, 0, state="running", epoch=1)
    states = [run.state for run in make_plan(sweep, tmp_path, {job: "RUNNING"}).runs]
    assert states == ["running", "queued"]


def test_without_slurm_the_records_have_to_do(sweep: Sweep, tmp_path: Path) -> None:
    key = sweep.runs()[0].run_key
    SubmittedJobs(tmp_path, "tests").add([Job("7", "slurm", (key,), "log", NOW, "code")])
    assert state_of(sweep, tmp_path).state == "missing"


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("status.json", '{"state": "sleeping"}', "status.json: state 'sleeping', not running"),
        ("status.json", "{", "status.json: not a JSON object"),
        ("epochs.jsonl", "", "epochs.jsonl: lacks epochs 0 to 4"),
        ("spec.json", None, "spec.json: is missing"),
    ],
)
def test_a_damaged_run_is_left_to_do(
    sweep: Sweep, tmp_path: Path, name: str, content: str | None, what: str
) -> None:
    directory = write_status(sweep, tmp_path, 0, state="done", epoch=4)
    (directory / name).unlink()
    if content is not None:
        (directory / name).write_text(content)
    plan = make_plan(sweep, tmp_path)
    first, second = plan.runs
    assert (first.state, second.state) == ("damaged", "missing")
    assert (first.error or "").startswith(what)
    assert plan.left() == [first, second]


def test_a_run_of_a_later_version_is_refused(sweep: Sweep, tmp_path: Path) -> None:
    directory = write_status(sweep, tmp_path, 0, state="done", epoch=4)
    (directory / "spec.json").write_text('{"schema": 3}')
    with pytest.raises(NewerSchema, match=r"spec\.json: found schema 3, allowed: up to 2"):
        make_plan(sweep, tmp_path)


def test_what_is_left_and_what_failed(sweep: Sweep, tmp_path: Path) -> None:
    write_status(sweep, tmp_path, 0, state="failed", epoch=3, attempt=3, error="ValueError: no")
    plan = make_plan(sweep, tmp_path)
    assert [run.state for run in plan.left()] == ["missing"]
    assert len(plan.left(retry_failed=True)) == 2
    (failure,) = failures(plan)
    assert failure.name == "NTR window=0 seed 0"
    assert failure.error == "ValueError: no"
    rows = progress(plan)
    assert [row.label for row in rows] == ["NTR window=0", "NTR window=5", "all"]
    assert (rows[-1].epochs_done, rows[-1].epochs, rows[-1].restarts) == (3, 20, 2)
    assert json.loads(json.dumps(as_data(plan)))["counts"]["failed"] == 1


def test_runs_whose_budget_names_no_number_of_epochs(bench: Bench, tmp_path: Path) -> None:
    bench.write()
    text = bench.sweep_file.read_text()
    text = re.sub(r"epochs = \d+", 'samples = 1000\ntarget = { metric = "val_accuracy" }', text)
    text = re.sub(r"window = .*", '"budget.target.value" = [0.5, 0.9]', text)
    bench.sweep_file.write_text(text)
    sweep = load_sweep(bench.sweep_file)
    targets = [spec.budget.target for spec in sweep.runs()]
    assert [target and target.value for target in targets] == [0.5, 0.9]
    write_status(sweep, tmp_path, 0, state="done", epoch=3)
    rows = progress(make_plan(sweep, tmp_path))
    assert [(row.epochs_done, row.epochs) for row in rows] == [(3, 3), (0, None), (3, None)]
    told = as_data(make_plan(sweep, tmp_path))
    assert [run["epochs"] for run in told["runs"]] == [None, None]
    shown = bench.napts("status")
    assert "epochs" in shown


def test_a_thousand_runs(bench: Bench, tmp_path: Path) -> None:
    bench.write(seeds=str(list(range(100))), windows=str(list(range(10))))
    sweep = load_sweep(bench.sweep_file)
    for index in range(0, 1000, 2):
        write_status(sweep, tmp_path, index, state="done", epoch=2)
    plan = make_plan(sweep, tmp_path)
    assert plan.counts()["done"] == plan.counts()["missing"] == 500


def test_jobs_and_arrays(bench: Bench, tmp_path: Path) -> None:
    """One array a shape, no longer than allowed, and packed as asked."""
    bench.write(seeds=str(list(range(10))), more="[resources]\nruns_per_job = 3\ntimeout_min = 7\n")
    runs = make_plan(load_sweep(bench.sweep_file), tmp_path).runs
    arrays = make_arrays(runs, SlurmCluster(kind="slurm", memory_gb=2), 4)
    assert [len(array.jobs) for array in arrays] == [4, 3]
    assert [len(job) for array in arrays for job in array.jobs] == [3] * 6 + [2]
    assert [run for array in arrays for job in array.jobs for run in job] == runs
    assert str(arrays[0].shape) == "1 x 1 processor, 7 min, 2 GB, 3 runs a job"
    alone = make_arrays(runs, LocalCluster(kind="local"), 1000)
    assert [len(job) for array in alone for job in array.jobs] == [1] * 20


def test_runs_of_different_shape_go_into_different_arrays(bench: Bench, tmp_path: Path) -> None:
    bench.write(more='[grid]\n"execution.threads" = [1]\n')
    text = bench.sweep_file.read_text()
    bench.sweep_file.write_text(
        text + '[[methods]]\nmethod = "TR"\n[methods.set]\n"execution.threads" = 4\n'
    )
    bench.sweep_file.write_text(
        bench.sweep_file.read_text().replace('[grid]\n"execution.threads" = [1]\n', "")
    )
    runs = make_plan(load_sweep(bench.sweep_file), tmp_path).runs
    arrays = make_arrays(runs, SlurmCluster(kind="slurm"), 100)
    assert sorted((array.shape.threads, len(array.jobs)) for array in arrays) == [(1, 2), (4, 1)]


def test_a_plan_is_shown_in_one_line(sweep: Sweep, tmp_path: Path) -> None:
    plan = make_plan(sweep, tmp_path)
    assert repr(plan) == f"<Plan of {len(plan.runs)} runs: {len(plan.runs)} missing>"
