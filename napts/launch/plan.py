"""The state of a sweep's runs, and which of them are left to do."""

import os
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from napts.launch.submitted import Job, SubmittedJobs
from napts.launch.sweepfile import PlannedRun, Sweep
from napts.records.damage import Damage, DamagedRun
from napts.records.layout import ENVIRONMENT, EPOCHS, RESTARTS, SPEC, STATUS, STEPS, run_directory
from napts.records.read import ENDED, NoRun, load_run, read_status
from napts.records.state import judge

STATES = ("done", "running", "queued", "failed", "diverged", "interrupted", "damaged", "missing")
"""States of a planned run. "interrupted" resumes from its checkpoint when submitted; so does
"damaged" if its rows are there, otherwise it starts anew."""

_LEFT = ("interrupted", "damaged", "missing")
_RETRIED = ("failed", "diverged")


@dataclass(frozen=True, slots=True)
class RunView:
    """A planned run and what is known about it.

    Attributes:
        planned: The run.
        path: Its directory, whether it exists or not.
        state: One of `STATES`.
        epoch: Epochs finished.
        attempts: How often it was started.
        error: One line that says what went wrong, or None.
        job: The latest job submitted for it, or None.
        job_state: Slurm's state of that job, or None.
    """

    planned: PlannedRun
    path: Path
    state: str
    epoch: int = 0
    attempts: int = 0
    error: str | None = None
    job: Job | None = None
    job_state: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A sweep and the state of its runs.

    Attributes:
        sweep: The sweep.
        runs: Its runs, in its order.
    """

    sweep: Sweep
    runs: list[RunView]

    def __repr__(self) -> str:
        counts = ", ".join(f"{n} {state}" for state, n in self.counts().items() if n)
        return f"<Plan of {len(self.runs)} runs: {counts or 'none'}>"

    def counts(self) -> dict[str, int]:
        """Return how many runs there are in each of `STATES`."""
        found = Counter(run.state for run in self.runs)
        return {state: found[state] for state in STATES}

    def left(self, *, retry_failed: bool = False) -> list[RunView]:
        """Return the runs that a submission would submit.

        Args:
            retry_failed: Also those that failed or diverged.
        """
        wanted = (*_LEFT, *_RETRIED) if retry_failed else _LEFT
        return [run for run in self.runs if run.state in wanted]


def make_plan(
    sweep: Sweep, records_root: str | Path, queue: Mapping[Job, str] | None = None
) -> Plan:
    """Determine the state of a sweep's runs; for those that have ended, from all of their rows.

    Args:
        sweep: The sweep.
        records_root: Folder of all records.
        queue: Slurm's state of each job of the sweep; None if Slurm was not asked.

    Raises:
        NewerSchema: A later version has written a record.
        RecordError: The list of the submitted jobs cannot be read.
    """
    jobs = SubmittedJobs(records_root, sweep.experiment).latest()
    folder = Path(records_root) / sweep.experiment
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    views = [_view(planned, records_root, there, jobs, queue) for planned in sweep.planned]
    return Plan(sweep, views)


def _view(
    planned: PlannedRun,
    records_root: str | Path,
    there: Collection[str],
    jobs: Mapping[str, Job],
    queue: Mapping[Job, str] | None,
) -> RunView:
    key = planned.spec.run_key
    path = run_directory(records_root, planned.spec.experiment, key)
    job = jobs.get(key)
    job_state = queue.get(job) if job and queue is not None else None
    status, damage = _status(path) if key in there else ({}, None)
    state = _state(path, status, job, job_state, asked=queue is not None)
    if damage is not None and state not in ("running", "queued"):
        state = "damaged"
    return RunView(
        planned,
        path,
        state,
        epoch=status.get("epoch") or 0,
        attempts=status.get("attempt") or 0,
        error=damage or status.get("error"),
        job=job,
        job_state=job_state,
    )


def _status(path: Path) -> tuple[dict[str, Any], str | None]:
    """Return the contents of ``status.json``, and what is wrong with the records of the run.

    The rows of a run that has ended are checked too, but only once as long as its files stay the
    same, since watching a sweep asks again and again.
    """
    if not os.path.lexists(path / STATUS):
        return {}, None
    return _read(path, tuple(_mark(path / name) for name in _LOOKED_AT))


_LOOKED_AT = (STATUS, SPEC, EPOCHS, STEPS, RESTARTS, ENVIRONMENT)
_REMEMBERED = 1 << 14


def _mark(file: Path) -> tuple[int, int, int] | None:
    """Return a value that changes whenever a file does."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


@lru_cache(maxsize=_REMEMBERED)
def _read(path: Path, marks: tuple[object, ...]) -> tuple[dict[str, Any], str | None]:
    status: dict[str, Any] = {}
    try:
        status = read_status(path).status
        if status["state"] in ENDED:
            status = load_run(path).status
    except NoRun:
        return {}, None if not path.is_dir() else f"{SPEC}: is missing"
    except DamagedRun as error:
        return status, Damage.of(path, error).what
    return status, None


def _state(
    path: Path, status: Mapping[str, Any], job: Job | None, job_state: str | None, *, asked: bool
) -> str:
    """Combine the state in the records with Slurm's.

    A run that has ended has ended. For the others, Slurm knows better than the records, which a
    killed process leaves as they were.
    """
    claimed = status.get("state")
    retried = job is not None and job.time > float(status.get("updated") or 0.0)
    if claimed in ENDED and not (retried and job_state in _GOING):
        return claimed
    if job is not None and job.kind == "slurm" and asked:
        if job_state in _GOING:
            # Of several runs in a job one is at work; the records say which.
            at_work = claimed == "running" if len(job.run_keys) > 1 else True
            return "running" if job_state not in _WAITING and at_work else "queued"
        return "missing" if claimed is None else "interrupted"
    if claimed is None:
        return "missing"
    return "running" if judge(path, status).name == "running" else "interrupted"


_WAITING = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT")
_GOING = (*_WAITING, "RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT")
