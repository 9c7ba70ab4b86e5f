"""The writing side of one attempt at a run."""

import os
import platform
import time
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from napts.records import columns, layout
from napts.records.aside import FILES, ROWS, damaged_files, set_aside
from napts.records.damage import RecordError
from napts.records.files import RowFile, write_atomic, write_object
from napts.records.read import Position, read_restarts, read_state


class RunWriter:
    """Writes rows and status of one attempt; the caller holds the directory's lock.

    Args:
        directory: An existing run directory.
        epochs: Planned number of epochs, None if the budget does not set one.
        record_steps: Whether the attempt writes the rows of all its steps; None if unknown.

    Attributes:
        directory: The run directory.
        attempt: Number of this attempt, from 1; higher than that of any row written before.

        finished: Epochs of training whose rows are written.

    Raises:
        RecordWriteError: A file cannot be opened.
    """

    def __init__(
        self, directory: Path, epochs: int | None, *, record_steps: bool | None = None
    ) -> None:
        self.directory = directory
        self.finished = 0
        self._record_steps = record_steps
        self.attempt = 1 + _last_attempt(directory)
        self._total_epochs = epochs
        self._restarts = RowFile(directory / layout.RESTARTS)
        self._epochs = RowFile(directory / layout.EPOCHS)
        self._steps = RowFile(directory / layout.STEPS)
        self._checked: dict[str, set[str]] = {layout.EPOCHS: set(), layout.STEPS: set()}

    def begin(
        self,
        header: Mapping[str, Any],
        environment: Mapping[str, Any],
        *,
        resumed_from: Position | None,
        reason: str,
    ) -> None:
        """Write what is known before training.

        Args:
            header: Contents of ``spec.json``.
            environment: Contents of ``environment.json``.
            resumed_from: Epochs finished and steps done in the next, or None for a fresh start.
            reason: The reason for this attempt, in words.
        """
        epoch, step = resumed_from or (None, None)
        row = {
            "attempt": self.attempt,
            "time": time.time(),
            "pid": os.getpid(),
            "hostname": platform.node(),
            "git_revision": environment.get("git_revision"),
            "resumed_from_epoch": epoch,
            "resumed_from_step": step,
            "reason": reason,
            "record_steps": self._record_steps,
        }
        # First, because from here on the rows of earlier attempts beyond this point are void.
        self._restarts.append([row])
        self._restarts.sync()
        write_object(self.directory / layout.ENVIRONMENT, environment)
        write_object(self.directory / layout.SPEC, header)
        self.finished = max(epoch or 0, 0)
        self.status("running", self.finished)

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Append the row of a finished epoch.

        Raises:
            ValueError: The table of columns does not have a name.
            RecordWriteError: Writing failed.
        """
        self._check(layout.EPOCHS, row)
        self._epochs.append([{"attempt": self.attempt, **row, "time": time.time()}])
        self.finished = row["epoch"]

    def steps(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append rows of single steps; errors as for :meth:`epoch`."""
        rows = list(rows)
        for row in rows[:1]:  # they are all alike, and many
            self._check(layout.STEPS, row)
        self._steps.append({"attempt": self.attempt, **row} for row in rows)

    def _check(self, file: str, row: Mapping[str, Any]) -> None:
        """Look up the names that no row before had."""
        checked = self._checked[file]
        if new := row.keys() - checked:
            if strange := columns.unknown(file, sorted(new)):
                raise ValueError(
                    f"{file}: found {', '.join(strange)}, allowed: columns in "
                    "napts.records.columns.COLUMNS"
                )
            checked |= new

    def sync(self) -> None:
        """Wait until all rows are on the disk; call this before a checkpoint relies on them."""
        self._epochs.sync()
        self._steps.sync()

    def status(
        self,
        state: str,
        epoch: int,
        *,
        final: Mapping[str, float | None] | None = None,
        error: str | None = None,
        ended_by: str | None = None,
        target: Mapping[str, Any] | None = None,
    ) -> None:
        """Replace ``status.json``.

        Args:
            state: One of `napts.records.read.STATES`.
            epoch: Epochs finished.
            final: Losses and metrics at the end of a finished run.
            error: One line that says what went wrong.
            ended_by: The limit of the budget that a finished run has used up, or "target".
            target: How near the run came to its target, and at what cost; None without one.
        """
        status = {
            "state": state,
            "updated": time.time(),
            "attempt": self.attempt,
            "epoch": epoch,
            "epochs": self._total_epochs,
            "final": final,
            "error": error,
            "pid": os.getpid(),
            "hostname": platform.node(),
            "ended_by": ended_by,
            "target": target,
        }
        write_object(self.directory / layout.STATUS, status)

    def keep_traceback(self, error: BaseException) -> None:
        """Write the traceback of an error into ``traceback.txt``."""
        now = time.strftime("%Y-%m-%d %H:%M:%S %z")
        text = f"{now}\n{''.join(traceback.format_exception(error))}"
        write_atomic(self.directory / layout.TRACEBACK, text.encode())

    def close(self) -> None:
        """Close the files."""
        for file in (self._restarts, self._epochs, self._steps):
            file.close()


def _last_attempt(directory: Path) -> int:
    """Return the number of the latest attempt; one that failed before training has only a status.

    Files that are damaged are set aside before a run is written to again.
    """
    attempts = [row["attempt"] for row in read_restarts(directory)]
    return max(*attempts, latest_attempt(directory), 0)


def latest_attempt(directory: Path) -> int:
    """Return the attempt that wrote ``status.json``; 0 if there is none, or it is damaged.

    Args:
        directory: A run directory.
    """
    try:
        return read_state(directory).get("attempt") or 0
    except RecordError:
        return 0


def record_failure(
    directory: Path,
    header: Mapping[str, Any],
    environment: Mapping[str, Any],
    error: BaseException,
    line: str,
) -> None:
    """Record a run that could not begin training as failed, whatever its state before.

    Rows and checkpoints of an earlier attempt stay, so that a retry resumes from there. Damaged
    files are set aside, together with the others if rows are among them.

    Args:
        directory: The run directory, whose lock the caller holds.
        header: Contents of ``spec.json``.
        environment: Contents of ``environment.json``.
        error: The cause, whose traceback is kept too.
        line: What the status says about it.

    Raises:
        RecordWriteError: A file cannot be written.
    """
    if damaged := damaged_files(directory):
        # Without its rows the run could only be started anew.
        set_aside(directory, damaged if damaged.keys().isdisjoint(ROWS) else FILES)
    known = read_state(directory)
    writer = RunWriter(directory, header["spec"]["budget"].get("epochs"))
    try:
        if not (directory / layout.SPEC).exists():
            writer.begin(header, environment, resumed_from=None, reason="started")
        writer.keep_traceback(error)
        writer.status("failed", known.get("epoch") or 0, error=line)
    finally:
        writer.close()
