"""A copy of a run: how far it is, and whether it may replace another copy."""

import hashlib
import json
import platform
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from napts.records.columns import columns_of
from napts.records.layout import EPOCHS
from napts.records.merged_rows import merged
from napts.records.read import RunRecord, load_run
from napts.records.rows import encode_numbers
from napts.records.run_lock import is_locked
from napts.records.transfer import run_files

_SILENCE_S = 1800.0
"""A run on another machine that wrote nothing for this long is no longer being written."""

FINISHED = ("done", "diverged")
"""States that are results. A failed run has ended too, but says nothing about its method."""

_RANKS = {"done": 3, "diverged": 2, "failed": 1, "interrupted": 0, "running": 0}

_TIMED = frozenset(column.name for column in columns_of(EPOCHS) if column.measured)
"""Columns that differ between two runs with the same numbers."""

Row = dict[str, Any]

_DERIVED = ("samples",)
"""Columns that follow from the others, and that records of older versions lack."""


class Extent(NamedTuple):
    """How far a run is; greater means further.

    Attributes:
        rank: 0 for a run that has not ended, otherwise the larger the better the end.
        epoch: Epochs finished.
        step: Known steps of the epoch after them; 0 for a run that has ended.
    """

    rank: int
    epoch: int
    step: int


class Candidate:
    """One copy of a run, among others.

    Args:
        path: The run directory.
        root: The folder that symbolic links in it must not leave.

    Attributes:
        path: The run directory.
        root: As given.
        files: Its files, relative to it; see `napts.records.transfer.run_files`.

    Raises:
        RecordError: A link leads out of ``root``.
    """

    def __init__(self, path: Path, root: Path) -> None:
        self.path = path
        self.root = root
        self.files = run_files(path, root)

    @cached_property
    def record(self) -> RunRecord:
        """The run, read on first use; errors as for `load_run`."""
        return load_run(self.path)

    @cached_property
    def extent(self) -> Extent:
        """How far it is."""
        return extent_of(self.record)

    @property
    def order(self) -> tuple[Any, ...]:
        """Greatest for the copy to be taken; depends only on the contents, not on the place."""
        size, digests = 0, []
        for name in self.files:
            with (self.path / name).open("rb") as file:
                digests.append(hashlib.file_digest(file, "sha256").digest())
                size += file.tell()
        return self.extent, last_update(self.record), size, digests

    def is_finished(self) -> bool:
        """Tell whether it is a result."""
        return self.record.state in FINISHED

    def contradicts(self, other: "Candidate") -> bool:
        """Tell whether both are results of the same kind with different numbers."""
        comparable = self.is_finished() and self.record.state == other.record.state
        return comparable and not same_result(self.record, other.record)

    def is_further_than(self, other: "Candidate") -> bool:
        """Tell whether it should replace ``other``."""
        if self.is_finished() and self.record.state == other.record.state:
            # The same result, but with all its rows.
            fuller = self.record.thinned is None and other.record.thinned is not None
            return fuller and same_result(self.record, other.record)
        if self.extent != other.extent:
            return self.extent > other.extent
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
        epochs = self.extent.epoch
        return f"{self.record.state} after {epochs} epoch{'' if epochs == 1 else 's'}"


def extent_of(record: RunRecord) -> Extent:
    """Return how far a run is, by its surviving rows.

    Args:
        record: The run.
    """
    rank = _RANKS[record.state]
    epoch = max([record.status.get("epoch") or 0, *(row["epoch"] for row in record.epochs)])
    if rank:
        return Extent(rank, epoch, 0)
    return Extent(rank, epoch, max(_steps_after(record, epoch), default=0))


def _steps_after(record: RunRecord, epoch: int) -> list[int]:
    steps = [row["step"] for row in record.steps if row["epoch"] == epoch + 1]
    # Where single steps are not recorded, a resumption still says from where it went on.
    if record.restarts and record.restarts[-1].get("resumed_from_epoch") == epoch:
        steps.append(record.restarts[-1].get("resumed_from_step") or 0)
    return steps


def last_update(record: RunRecord) -> float:
    """Return when the run last wrote its status, in unix seconds; 0 if it never did."""
    return float(record.status.get("updated") or 0.0)


def same_result(first: RunRecord, second: RunRecord) -> bool:
    """Tell whether two records hold the same numbers, whatever it took to compute them.

    Args:
        first: A run.
        second: Another copy, or another execution, of the same run.
    """
    if first.thinned is None and second.thinned is None:
        return _result(first, first.epochs) == _result(second, second.epochs)
    # Of thinned copies only the totals of the epochs that both have can be compared.
    shared = {row["epoch"] for row in first.epochs} & {row["epoch"] for row in second.epochs}
    rows = (merged(run.epochs, shared) for run in (first, second))
    one, other = (_result(run, own) for run, own in zip((first, second), rows, strict=True))
    return one == other


def _result(record: RunRecord, epochs: Sequence[Row]) -> str:
    rows = [
        {key: value for key, value in row.items() if key not in _TIMED and key not in _DERIVED}
        for row in epochs
    ]
    told = {"state": record.state, "final": record.final, "rows": rows}
    # As text, because an undefined loss differs from itself as a number.
    return json.dumps(encode_numbers(told), sort_keys=True)
