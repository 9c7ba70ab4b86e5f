"""Whether all the rows of single steps are there that the epochs' rows count."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from napts.records.damage import DamagedRun
from napts.records.layout import STEPS
from napts.records.reading import lines_of
from napts.records.rows import object_of
from napts.text import shown

Row = dict[str, Any]


COLUMN = "record_steps"
"""The column of ``restarts.jsonl`` that says whether an attempt records its steps."""


def without_steps(restarts: Iterable[Row]) -> list[Row]:
    """Return the attempts for a copy of a run without steps, so that none count as missing.

    Args:
        restarts: Rows of ``restarts.jsonl``.
    """
    return [{name: value for name, value in row.items() if name != COLUMN} for row in restarts]


class StepRecording:
    """Which steps of a run have rows: each attempt may or may not record them.

    Args:
        spec: The spec of the run.
        restarts: Its attempts. Those of older versions do not say whether they recorded steps; the
            spec says it for the last attempt, which is enough if it is the only one.

    Attributes:
        promised: Whether an attempt says that it records steps, so that the file must be there; for
            older runs, a copy may lack it.
    """

    def __init__(self, spec: Mapping[str, Any], restarts: Sequence[Row]) -> None:
        self._restarts = {row["attempt"]: row for row in restarts}
        self._told = {number: row.get(COLUMN) for number, row in self._restarts.items()}
        self.promised = True in self._told.values()
        if len(self._told) <= 1:
            number = max(self._told, default=1)
            asked = (spec.get("execution") or {}).get("record_steps")
            self._told[number] = asked if self._told.get(number) is None else self._told[number]

    def of_epoch(self, epoch: int, attempt: int) -> bool:
        """Tell whether every step of an epoch is known to have been recorded.

        Args:
            epoch: Its number, from 1.
            attempt: The attempt that took its last step.
        """
        if self._told.get(attempt) is not True:
            return False
        restart = self._restarts.get(attempt, {})
        begun = restart.get("resumed_from_epoch") == epoch - 1 and restart.get("resumed_from_step")
        earlier = (told for number, told in self._told.items() if number < attempt)
        return not begun or all(told is True for told in earlier)


def check_count(path: Path, epochs: Sequence[Row], recording: StepRecording) -> None:
    """Count the rows of steps without reading them; void ones count too.

    Args:
        path: The run directory.
        epochs: Surviving rows of its epochs.
        recording: Which steps have rows.

    Raises:
        DamagedRun: There are fewer than the epochs had.
    """
    wanted = sum(
        row["batches"]
        for row in epochs
        if row.get("batches") and recording.of_epoch(row["epoch"], row["attempt"])
    )
    if not wanted:
        return
    try:
        found = sum(1 for line in lines_of(path / STEPS) if line.endswith(b"\n") or object_of(line))
    except FileNotFoundError:
        if not recording.promised:
            return
        raise DamagedRun(path / STEPS, f"is missing, the epochs had {wanted:,} steps") from None
    if found < wanted:
        raise DamagedRun(path / STEPS, f"has {found:,} rows, the epochs had {wanted:,} steps")


def check_steps(
    path: Path,
    steps: Iterable[Row],
    epochs: Iterable[Row],
    recording: StepRecording,
) -> None:
    """Look for every single step.

    Args:
        path: The run directory.
        steps: Surviving rows of its steps.
        epochs: Surviving rows of its epochs; for the current one, what it must have.
        recording: Which steps have rows.

    Raises:
        DamagedRun: One is missing.
    """
    if not recording.promised and not (path / STEPS).exists():
        return
    found: dict[int, set[int]] = {}
    for row in steps:
        found.setdefault(row["epoch"], set()).add(row["step"])
    for row in epochs:
        epoch, batches = row["epoch"], row.get("batches") or 0
        there = len(found.get(epoch, ()))
        if there < batches and recording.of_epoch(epoch, row["attempt"]):
            what = f"has {there:,} of the {shown(batches)} steps of epoch {epoch}"
            raise DamagedRun(path / STEPS, what)
