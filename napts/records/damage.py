"""Runs with damaged records: how they are reported, and what may be missing.

A reader of many runs leaves out a damaged run and reports it in a line: it returns a list of
`Damage` beside the good runs. A damaged run never counts as one that has ended.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napts.text import LINE, one_line, shown

Row = dict[str, Any]


class RecordError(ValueError):
    """A run directory or one of its files is not valid; the message names the file."""


class DamagedRun(RecordError):
    """Files of a run are unreadable, have an unexpected shape, or lack something.

    Args:
        path: The file, or the run directory.
        what: What is wrong with it.
    """

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path}: {what}")


class NewerSchema(RecordError):
    """A file has a newer version of the format than this program knows; it is left alone.

    Args:
        path: The file.
        found: The version that it names.
        known: The newest known one.
    """

    def __init__(self, path: Path, found: int, known: int) -> None:
        super().__init__(
            f"{path}: found schema {shown(found)}, allowed: up to {known}; it was written by a "
            "newer napts"
        )


@dataclass(frozen=True, slots=True)
class Damage:
    """A run that was left out.

    Attributes:
        run: Its directory, or the file in which it is packed.
        what: What is wrong, in one line.
    """

    run: Path
    what: str

    @classmethod
    def of(cls, run: Path, error: BaseException) -> "Damage":
        """Return what an error says about a run."""
        text = str(error) or type(error).__name__
        return cls(run, one_line(text.removeprefix(f"{run}/").removeprefix(f"{run}: ")))

    def __str__(self) -> str:
        return one_line(f"{self.run}: {self.what}", LINE - len("napts: damaged: "))


def check_run(
    path: Path,
    spec: Mapping[str, Any],
    status: Mapping[str, Any],
    epochs: Sequence[Row],
    restarts: Sequence[Row],
    *,
    thinned: bool = False,
) -> None:
    """Compare the rows of a run with the rows that the rest of its records promises.

    Args:
        path: The run directory.
        spec: Its spec.
        status: Contents of ``status.json``.
        epochs: Surviving rows of ``epochs.jsonl``, in order.
        restarts: Rows of ``restarts.jsonl``.
        thinned: Whether rows may stand for several epochs.

    Raises:
        DamagedRun: Something is missing, or contradicts the rest.
    """
    file = path / "epochs.jsonl"
    _check_attempts(path, epochs, restarts)
    last = check_order(file, epochs, thinned=thinned)
    resumed = restarts[-1].get("resumed_from_epoch") if restarts else None
    if resumed is not None and last < resumed:
        raise DamagedRun(file, f"lacks {_epochs(last + 1, resumed)}, before the last resumption")
    if is_superseded(status, restarts):
        return
    said = status.get("epoch")
    if said and last < said:
        raise DamagedRun(file, f"lacks {_epochs(last + 1, said)} that status.json tells of")
    if status["state"] == "done":
        _check_end(path, spec, status, last)


def is_superseded(status: Mapping[str, Any], restarts: Sequence[Row]) -> bool:
    """Tell whether a run was started again after its status was written.

    Args:
        status: Contents of ``status.json``.
        restarts: Rows of ``restarts.jsonl``.
    """
    written = status.get("attempt")
    return written is not None and bool(restarts) and written < restarts[-1]["attempt"]


def _check_attempts(path: Path, epochs: Sequence[Row], restarts: Sequence[Row]) -> None:
    """The restarts say which rows are void; no attempt has rows without a restart."""
    latest = max((row["attempt"] for row in epochs), default=0)
    known = max((row["attempt"] for row in restarts), default=0)
    if latest > max(known, 1):
        raise DamagedRun(
            path / "restarts.jsonl", f"lacks attempt {latest}, of which epochs.jsonl has rows"
        )


def check_order(file: Path, epochs: Sequence[Row], last: int = -1, *, thinned: bool = False) -> int:
    """Look for every epoch, starting with the evaluation before training.

    Args:
        file: ``epochs.jsonl``.
        epochs: Its surviving rows, in order.
        last: The epoch up to which there must be rows.
        thinned: Whether rows may stand for several epochs.

    Returns:
        The last epoch found, -1 for none.

    Raises:
        DamagedRun: One is missing.
    """
    found = -1
    for row in epochs:
        merged = (row.get("merged_epochs") or 1) if thinned else 1
        first = row["epoch"] - merged + 1
        if first > found + 1:
            raise DamagedRun(file, f"lacks {_epochs(found + 1, first - 1)}")
        if first <= found:
            raise DamagedRun(file, f"has {_epochs(max(first, 0), found)} twice")
        found = row["epoch"]
    if found < last:
        raise DamagedRun(file, f"lacks {_epochs(found + 1, last)} before the checkpoint")
    return found


def _check_end(path: Path, spec: Mapping[str, Any], status: Mapping[str, Any], last: int) -> None:
    said = status.get("epoch")
    if said is None or not status.get("final"):
        lacking = "epoch" if said is None else "final"
        raise DamagedRun(path / "status.json", f"lacks {lacking} of a run that is done")
    if last != said:
        rows = f"{last} epochs" if last >= 0 else "no rows"
        raise DamagedRun(path / "epochs.jsonl", f"has {rows}, where status.json tells of {said}")
    planned = _planned(spec.get("budget") or {}, status.get("ended_by"))
    if planned is not None and said != planned:
        raise DamagedRun(
            path / "status.json", f"is done after {said} epochs, where the budget has {planned}"
        )


def _planned(budget: Mapping[str, Any], ended_by: str | None) -> int | None:
    """Return how many epochs a finished run must have; None if it may have any number."""
    others = any(budget.get(name) is not None for name in ("passes", "samples", "seconds"))
    others = others or budget.get("target") is not None
    if ended_by == "epochs" or (ended_by is None and not others):
        return budget.get("epochs")
    return None


def _epochs(first: int, last: int) -> str:
    return f"epoch {first}" if first == last else f"epochs {first} to {shown(last)}"
