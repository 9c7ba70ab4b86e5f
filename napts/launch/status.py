"""A sweep's progress in numbers, for tables and scripts."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from napts.experiment.packages import changed_packages
from napts.launch.plan import STATES, Plan, RunView


@dataclass(frozen=True, slots=True)
class MethodProgress:
    """Progress of the runs with one label, or of all.

    Attributes:
        label: The label.
        runs: Number of runs.
        states: How many are in each of `napts.launch.plan.STATES`.
        epochs_done: Epochs finished.
        epochs: Epochs planned; for finished runs, those that they needed. None if the budget of any
            other run does not set a number.
        restarts: Starts of runs beyond the first.
    """

    label: str
    runs: int
    states: dict[str, int]
    epochs_done: int
    epochs: int | None
    restarts: int


@dataclass(frozen=True, slots=True)
class Failure:
    """A run that failed or diverged.

    Attributes:
        name: Display name of the run.
        state: "failed" or "diverged".
        error: Last line of its traceback, or None.
        log: Output of its job, or its directory if no job is known.
    """

    name: str
    state: str
    error: str | None
    log: str


def progress(plan: Plan) -> list[MethodProgress]:
    """Return a row for each label, in order of appearance, and one for all."""
    labels = dict.fromkeys(run.planned.spec.display_label for run in plan.runs)
    rows = [
        _progress(label, [r for r in plan.runs if r.planned.spec.display_label == label])
        for label in labels
    ]
    return [*rows, _progress("all", plan.runs)]


def _progress(label: str, runs: list[RunView]) -> MethodProgress:
    return MethodProgress(
        label=label,
        runs=len(runs),
        states={state: sum(run.state == state for run in runs) for state in STATES},
        epochs_done=sum(run.epoch for run in runs),
        epochs=_planned(runs),
        restarts=sum(max(run.attempts - 1, 0) for run in runs),
    )


def _planned(runs: Iterable[RunView]) -> int | None:
    total = 0
    for run in runs:
        # A target, or another limit, ends runs before all of their epochs.
        planned = run.epoch if run.state == "done" else run.planned.spec.budget.epochs
        if planned is None:
            return None
        total += planned
    return total


def failures(plan: Plan) -> list[Failure]:
    """Return the runs that failed or diverged, with where to look."""
    return [
        Failure(run.planned.name, run.state, run.error, _log(run))
        for run in plan.runs
        if run.state in ("failed", "diverged")
    ]


def package_notices(plan: Plan) -> list[str]:
    """Return lines about runs whose records name other package versions than those installed."""
    found = Counter(
        changed
        for run in plan.runs
        if run.state != "missing" and (changed := changed_packages(run.path, run.planned.spec))
    )
    return [f"{n} run{'s' * (n > 1)}: {changed}" for changed, n in found.items()]


def _log(run: RunView) -> str:
    return run.job.log if run.job else str(Path(run.path))


def as_data(plan: Plan) -> dict[str, Any]:
    """Return everything as plain data for a script."""
    return {
        "experiment": plan.sweep.experiment,
        "counts": plan.counts(),
        "methods": [asdict(row) for row in progress(plan)],
        "failures": [asdict(failure) for failure in failures(plan)],
        "packages": package_notices(plan),
        "runs": list(_runs(plan.runs)),
    }


def _runs(runs: Iterable[RunView]) -> Iterable[dict[str, Any]]:
    for run in runs:
        yield {
            "run_key": run.planned.spec.run_key,
            "name": run.planned.name,
            "state": run.state,
            "epoch": run.epoch,
            "epochs": run.planned.spec.budget.epochs,
            "restarts": max(run.attempts - 1, 0),
            "error": run.error,
            "job": run.job.job_id if run.job else None,
            "job_state": run.job_state,
        }
