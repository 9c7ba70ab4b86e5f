"""What a run shows while it is in progress: a live bar on a terminal, else a line per epoch."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column

from napts.experiment import Observer, RunOutcome, RunSpec
from napts.optim import StepRecord
from napts.records.metric import LOSS
from napts.text import one_line

_LONGEST, _SHORT = 4, 3
"""Letters of a metric's name in the bar, which has to fit in 80 columns."""


class ConsoleObserver(Observer):
    """Shows several runs one after the other.

    On a terminal: one bar for all runs and one for the current run, with epoch, loss, the problem's
    own metric on the validation set, rejections per batch in the last epoch ("rej"), radius and
    time left. In a file or a pipe: one line per epoch.

    Args:
        total_runs: Number of runs to come.
        console: Where to write; standard error by default, so that results can be piped.
    """

    def __init__(self, total_runs: int, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._live = self._console.is_terminal
        self._total = total_runs
        self._number = 0
        self._name = ""
        self._metric = LOSS
        self._of = ""  # the number of epochs, where the budget names one
        self._share = 0.0
        self._bars = Progress(
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            BarColumn(bar_width=6),  # the whole line fits into 80 columns
            TextColumn("{task.fields[detail]}", markup=False, table_column=Column(no_wrap=True)),
            TimeRemainingColumn(compact=True),
            console=self._console,
            transient=True,
            disable=not self._live,
        )
        self._all: TaskID = self._bars.add_task("runs", total=total_runs, detail="")
        self._run: TaskID = self._bars.add_task("", total=None, detail="")
        self._latest: Mapping[str, Any] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def on_run_start(self, spec: RunSpec, total_epochs: int | None, batches: int) -> None:
        """Show the new run."""
        self._name = f"{spec.display_label} seed {spec.seed}"
        self._metric = spec.primary
        self._of = "" if total_epochs is None else f"/{total_epochs}"
        self._share, self._latest = 0.0, {}
        self._bars.reset(self._run, total=1.0, description=self._name, detail="starting")

    def on_progress(self, share: float) -> None:
        """Note how far the run is."""
        self._share = share

    def on_notice(self, line: str) -> None:
        """Write the line."""
        # What becomes of a run is said at the end.
        self._say(one_line(f"napts: {line}", tail=1 / 2))

    def on_step(self, record: StepRecord, epoch: int, step: int) -> None:
        """Move the bar."""
        if self._live:
            detail = self._detail(record, epoch)
            self._bars.update(self._run, completed=self._share, detail=detail)

    def _detail(self, record: StepRecord, epoch: int) -> str:
        parts = [f"epoch {epoch}{self._of}", f"loss {_short(record.loss)}"]
        value = self._latest.get(self._metric.column("val"))
        if value is not None:
            label = self._metric.label
            name = label if len(label) <= _LONGEST else label[:_SHORT]
            parts.append(f"{name} {_short(value)}")
        if record.radius_after is not None:
            rejected = self._latest.get("rejections", 0) / max(1, self._latest.get("batches", 1))
            parts += [f"rej {rejected:.2f}", f"radius {record.radius_after:.2g}"]
        return " ".join(parts)

    def on_epoch(self, row: Mapping[str, Any]) -> None:
        """Remember the epoch's numbers; write its line where there is no bar."""
        self._latest = row
        if self._live or row["epoch"] == 0:
            return
        parts = [
            f"[{self._number + 1}/{self._total}] {self._name}",
            f"epoch {row['epoch']}{self._of}",
            f"loss {_short(row['train_loss'])}",
            f"val. {self._metric.label} {_short(row.get(self._metric.column('val')))}",
            f"{row['train_seconds']:.2f} s",
        ]
        if row["radius"] is not None:
            parts.append(f"rejections/batch {row['rejections'] / row['batches']:.2f}")
            parts.append(f"radius {row['radius']:.3g}")
        self._say("  ".join(parts))

    def on_run_end(self, outcome: RunOutcome) -> None:
        """Report how the run ended."""
        self._number += 1
        self._bars.update(self._all, completed=self._number)
        text = f"[{self._number}/{self._total}] {outcome.label} {outcome.run_key}: {outcome.state}"
        if not outcome.ran:
            text += " before, nothing to do"
        if outcome.final is not None:
            value = outcome.final.get(outcome.metric.column("test"))
            text += f", test {outcome.metric.label} {_short(value)}"
        if outcome.target is not None:
            text += f", {target_text(outcome.target)}"
        elif outcome.ended_by not in (None, "epochs"):
            text += f", ended by its limit in {outcome.ended_by}"
        if outcome.error:
            text += f": {outcome.error}"
        self._say(text)

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


def target_text(target: Mapping[str, Any]) -> str:
    """Say in words whether a run reached its target, and at what cost.

    Args:
        target: A `napts.experiment.spending.TargetNote`.
    """
    sign = ">=" if target.get("goal") == "max" else "<="
    wanted = f"{target['metric']} {sign} {target['value']:g}"
    if not target["reached"]:
        return f"target {wanted} missed, best {_number(target.get('found'), '.4g')}"
    cost = f"{target['steps']:,} steps, {target['train_seconds']:.2f} s"
    return f"target {wanted} reached in epoch {target['epoch']} ({cost})"


def _short(value: float | None) -> str:
    """Return a number with four decimals, or with an exponent if it is small."""
    small = value is not None and 0.0 < abs(value) < 0.01
    return _number(value, ".2e" if small else ".4f")


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
