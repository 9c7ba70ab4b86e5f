"""The writing side of one attempt at a run."""

import os
import platform
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from napts.records import layout
from napts.records.files import RowFile, write_object
from napts.records.lock import RunLock
from napts.records.read import Position, read_rows
from napts.records.rows import read_object


class RunWriter:
    """Writes rows and status of one attempt; the caller holds the directory's lock.

    Args:
        directory: An existing run directory.
        epochs: Number of epochs that the run is to have, None if its budget names none.

    Attributes:
        directory: The run directory.
        attempt: Number of this attempt, from 1; higher than that of any row written before.

    Raises:
        RecordWriteError: A file cannot be opened.
    """

    def __init__(self, directory: Path, epochs: int | None) -> None:
        self.directory = directory
        self.attempt = 1 + _last_attempt(directory)
        self._total_epochs = epochs
        self._restarts = RowFile(directory / layout.RESTARTS)
        self._epochs = RowFile(directory / layout.EPOCHS)
        self._steps = RowFile(directory / layout.STEPS)

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
            reason: Why there is this attempt, for people.
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
        }
        # First, because from here on the rows of earlier attempts beyond this point are void.
        self._restarts.append([row])
        self._restarts.sync()
        write_object(self.directory / layout.ENVIRONMENT, environment)
        write_object(self.directory / layout.SPEC, header)
        self.status("running", max(epoch or 0, 0))

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Append the row of a finished epoch."""
        self._epochs.append([{"attempt": self.attempt, **row, "time": time.time()}])

    def steps(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append rows of single steps."""
        self._steps.append({"attempt": self.attempt, **row} for row in rows)

    def sync(self) -> None:
        """Wait until all rows are on the disk; to be done before a checkpoint relies on them."""
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
            final: Losses and metrics at the end of a run that is done.
            error: One line that says what went wrong.
            ended_by: The limit of the budget that a run that is done has used up, or "target".
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

    def close(self) -> None:
        """Close the files."""
        for file in (self._restarts, self._epochs, self._steps):
            file.close()


def _last_attempt(directory: Path) -> int:
    rows = read_rows(directory / layout.RESTARTS)
    return max((row["attempt"] for row in rows), default=0)


def record_failure(
    records_root: str | Path, header: Mapping[str, Any], environment: Mapping[str, Any], error: str
) -> None:
    """Record that a run could not even be begun; one that has ended well is left as it is.

    A run that was interrupted before stays so, since its checkpoint is as good as it was.

    Args:
        records_root: Folder of all records.
        header: Contents of ``spec.json``.
        environment: Contents of ``environment.json``.
        error: One line that says what went wrong.

    Raises:
        RunBusy: Another process is writing the run.
        RecordWriteError: A file cannot be written.
    """
    directory = layout.run_directory(records_root, header["experiment"], header["run_key"])
    directory.mkdir(parents=True, exist_ok=True)
    with RunLock(directory):
        status = directory / layout.STATUS
        known = read_object(status) if status.exists() else {}
        if known.get("state") in ("done", "diverged"):
            return
        writer = RunWriter(directory, known.get("epochs"))
        state = "failed" if known.get("state") in (None, "failed") else "interrupted"
        try:
            if state == "failed":
                writer.begin(header, environment, resumed_from=None, reason="could not be begun")
            writer.status(state, known.get("epoch") or 0, error=error)
        finally:
            writer.close()
