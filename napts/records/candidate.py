"""A copy of a run that may take the place of another one."""

import hashlib
import platform
import time
from functools import cached_property
from pathlib import Path
from typing import Any

from napts.records.lock import is_locked
from napts.records.read import RunRecord, load_run
from napts.records.standing import FINISHED, Standing, last_update, same_result, standing
from napts.records.transfer import run_files

_SILENCE_S = 1800.0
"""A run of another machine that wrote nothing for so long is not being written any more."""


class Candidate:
    """One copy of a run, among others.

    Args:
        path: The run directory.
        root: The folder that symbolic links in it must not leave.

    Attributes:
        path: The run directory.
        root: As given.
        files: Its files, relative to it, see `napts.records.transfer.run_files`.

    Raises:
        RecordError: A link leads out of ``root``.
    """

    def __init__(self, path: Path, root: Path) -> None:
        self.path = path
        self.root = root
        self.files = run_files(path, root)

    @cached_property
    def record(self) -> RunRecord:
        """The run as read, on first use; errors as of `load_run`."""
        return load_run(self.path)

    @cached_property
    def standing(self) -> Standing:
        """How far it is."""
        return standing(self.record)

    @property
    def order(self) -> tuple[Any, ...]:
        """Greatest for the copy to be taken; a matter of the contents only, not of the place."""
        size, digests = 0, []
        for name in self.files:
            with (self.path / name).open("rb") as file:
                digests.append(hashlib.file_digest(file, "sha256").digest())
                size += file.tell()
        return self.standing, last_update(self.record), size, digests

    def is_finished(self) -> bool:
        """Tell whether it is a result."""
        return self.record.state in FINISHED

    def contradicts(self, other: "Candidate") -> bool:
        """Tell whether both are results of the same kind with different numbers."""
        comparable = self.is_finished() and self.record.state == other.record.state
        return comparable and not same_result(self.record, other.record)

    def is_further_than(self, other: "Candidate") -> bool:
        """Tell whether it should take the place of ``other``."""
        if self.is_finished() and self.record.state == other.record.state:
            return False
        if self.standing != other.standing:
            return self.standing > other.standing
        if self._is_being_written():
            return False
        return last_update(self.record) > last_update(other.record)

    def _is_being_written(self) -> bool:
        if is_locked(self.path):
            return True
        status = self.record.status
        if self.record.state != "running" or status.get("hostname") == platform.node():
            return False
        newest = max((self.path / name).stat().st_mtime for name in self.files)
        return time.time() - newest <= _SILENCE_S

    def __str__(self) -> str:
        epochs = self.standing.epoch
        return f"{self.record.state} after {epochs} epoch{'' if epochs == 1 else 's'}"
