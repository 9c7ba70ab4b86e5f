"""What became of a sweep's runs so far, and which of them are left to do."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napts.launch.submitted import Job, SubmittedJobs
from napts.launch.sweepfile import PlannedRun, Sweep
from napts.records.layout import STATUS, run_directory
from napts.records.rows import RecordError, read_object
from napts.records.state import judge

STATES = ("done", "running", "queued", "failed", "diverged", "interrupted", "missing")
"""What a planned run may be. "interrupted" goes on from its checkpoint when it is submitted."""

_LEFT = ("interrupted", "missing")
_RETRIED = ("failed", "diverged")


@dataclass(frozen=True, slots=True)
class RunView:
    """A planned run and what is known of it.

    Attributes:
        planned: The run.
        path: Its directory, whether it exists or not.
        state: One of `STATES`.
        epoch: Epochs finished.
        attempts: Times that it was started.
        error: One line that says what went wrong, or None.
        job: The job that was submitted for it last, or None.
        job_state: What Slurm says of that job, or None.
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
    """A sweep and what became of its runs.

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
    """Find out what became of a sweep's runs, from two small files of each.

    Args:
        sweep: The sweep.
        records_root: Folder of all records.
        queue: Slurm's state of each job of the sweep; None if Slurm was not asked.

    Raises:
        RecordError: A record cannot be read.
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
    status: dict[str, Any] = {}
    if key in there and (path / STATUS).exists():
        status = read_object(path / STATUS)
    return RunView(
        planned,
        path,
        _state(path, status, job, job_state, asked=queue is not None),
        epoch=status.get("epoch") or 0,
        attempts=status.get("attempt") or 0,
        error=status.get("error"),
        job=job,
        job_state=job_state,
    )


def _state(
    path: Path, status: Mapping[str, Any], job: Job | None, job_state: str | None, *, asked: bool
) -> str:
    """Combine what the records say with what Slurm says.

    A run that has ended has ended. Of the others Slurm knows better than the records, which a
    killed process leaves as they were.
    """
    claimed = status.get("state")
    if claimed not in (None, *STATES):
        raise RecordError(f"{path / STATUS}: state {claimed!r}, not one of {', '.join(STATES)}")
    retried = job is not None and job.time > float(status.get("updated") or 0.0)
    if claimed in ("done", "failed", "diverged") and not (retried and job_state in _GOING):
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
