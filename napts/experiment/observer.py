"""The interface for watching a run: progress displays and live logs implement it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napts.experiment.spec.run_spec import RunSpec
from napts.optim import StepRecord
from napts.records.metric import LOSS, Metric


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How a run ended.

    Attributes:
        path: The run directory.
        run_key: Name of the run.
        label: Display name of the method.
        state: "done", "failed", "diverged" or "interrupted".
        final: Losses and metrics at the end of a finished run.
        error: One line that says what went wrong.
        ran: Whether this call trained; False if the run had ended before.
        target: Whether the budget's target was reached, and what it cost; see
            `napts.experiment.spending.TargetNote`. None without a target.
        metric: The problem's own metric.
        ended_by: The limit of the budget that ended a finished run, or "target".
    """

    path: Path
    run_key: str
    label: str
    state: str
    final: Mapping[str, float] | None
    error: str | None
    ran: bool
    target: Mapping[str, Any] | None = None
    metric: Metric = LOSS
    ended_by: str | None = None

    def __repr__(self) -> str:
        name = self.metric.column("test")
        found = (self.final or {}).get(name)
        more = f", {name} {self.metric.shown(found)}" if found is not None else ""
        return f"<RunOutcome {self.run_key}: {self.state}{more}>"


class Observer:
    """Receives the events of a run; does nothing with them.

    Subclasses override what they need. `on_step` is called inside the timed training part and must
    return quickly; exceptions end the run.
    """

    def on_run_start(self, spec: RunSpec, total_epochs: int | None, batches: int) -> None:
        """Training begins or resumes.

        Args:
            spec: The run.
            total_epochs: Epochs that the run will have, None if its budget does not say.
            batches: Batches in an epoch.
        """

    def on_notice(self, line: str) -> None:
        """Something the user should know happened, but it does not stop the run.

        Args:
            line: The message.
        """

    def on_step(self, record: StepRecord, epoch: int, step: int) -> None:
        """A step was taken.

        Args:
            record: The record of the step.
            epoch: Current epoch, from 1.
            step: Number of the step within the epoch, from 1.
        """

    def on_progress(self, share: float) -> None:
        """A step was taken; called just before `on_step`.

        Args:
            share: How much of the budget is spent, in [0, 1], by the nearest limit.
        """

    def on_epoch(self, row: Mapping[str, Any]) -> None:
        """An epoch has ended and its row in ``epochs.jsonl`` is written.

        Args:
            row: The row; epoch 0 is the evaluation before training.
        """

    def on_run_end(self, outcome: RunOutcome) -> None:
        """The run has ended, or there was nothing left to do."""
