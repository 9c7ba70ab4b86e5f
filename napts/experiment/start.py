"""Where an attempt at a run begins: from scratch, or at its last checkpoint."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napts.experiment.checkpoint import Found, find_checkpoint, remove_checkpoints
from napts.experiment.clock import Times
from napts.experiment.progress import Progress
from napts.experiment.setup import Setup
from napts.records.aside import CHECKPOINTS, FILES, ROWS, damaged_files, set_aside
from napts.records.damage import DamagedRun
from napts.records.layout import RESTARTS
from napts.records.read import read_restarts
from napts.records.resumption import check_before, problem_of
from napts.records.write import latest_attempt


class DataChanged(ValueError):
    """The data differ from those that the run began with."""


_PARTS = frozenset({"data_digest", "progress", "times", "random"})
"""What a checkpoint holds besides the states of network and method."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where an attempt begins, and the reason for it.

    Attributes:
        progress: How far the run is.
        times: Time that an earlier process has spent on the current epoch.
        resumed_from: Epochs finished and steps done in the next, or None for a fresh start.
        reason: The reason for this attempt, in words.
        state: The checkpoint that was restored, or None.
        notice: What could not be used from earlier attempts, and where it is kept; None if all
            could.
    """

    progress: Progress
    times: Times
    resumed_from: tuple[int, int] | None
    reason: str
    state: dict[str, Any] | None = None
    notice: str | None = None


def start_of(setup: Setup, directory: Path, mode: str, ended: str | None) -> Start:
    """Restore the last checkpoint into the setup, or begin anew.

    A run with missing rows before its checkpoint could only end with incomplete records: it begins
    anew, and its files are kept aside.

    Args:
        setup: What is trained; it takes over the state of the checkpoint.
        directory: The run directory, whose lock the caller holds.
        mode: See :func:`napts.experiment.run`.
        ended: The state in which the run ended before, or None if it did not.

    Raises:
        DataChanged: The data differ from those that the run began with.
        NewerSchema: A file has a later version of the format.
    """
    found = find_checkpoint(directory, setup.spec.run_key, _PARTS)
    if mode == "force" or (ended is not None and _has_begun(directory)):
        why = "forced" if mode == "force" or ended is None else f"retried, it had {ended}"
        return _anew(directory, f"started anew: {why}", problem_of(directory))
    if found.state is None:
        first = "started anew: no checkpoint" if (directory / RESTARTS).exists() else "started"
        return _anew(directory, found.warning or first, problem_of(directory), found.warning)
    progress = found.state["progress"]
    try:
        check_before(directory, max(progress["epoch"], 0), progress["step"])
    except DamagedRun as error:
        _check_data(setup, found.state)
        return _anew(directory, "started anew", str(error).removeprefix(f"{directory}/"))
    _check_data(setup, found.state)
    return _resumed(setup, directory, found, found.state)


def _anew(directory: Path, reason: str, problem: str | None, warning: str | None = None) -> Start:
    """Begin anew; unusable files are moved out of the way, but not lost.

    Args:
        directory: The run directory.
        reason: Why the run begins anew.
        problem: What is wrong with its records, None if nothing is known to be wrong.
        warning: What is wrong with its checkpoints, None if nothing is.
    """
    problem = problem or next(iter(damaged_files(directory).values()), None)
    names = FILES if problem is not None else CHECKPOINTS
    notice = None
    if problem is not None or warning is not None:
        folder = set_aside(directory, names)
        reason = f"{reason}; {problem}" if problem else reason
        reason = f"{reason}; kept in {folder}"
        notice = f"{problem or warning}; it is started anew, and the old files are kept in {folder}"
    remove_checkpoints(directory)
    return Start(Progress(), Times(), None, reason, notice=notice)


def _resumed(setup: Setup, directory: Path, found: Found, state: dict[str, Any]) -> Start:
    """Resume from a checkpoint; files that will be rewritten anyway may be damaged."""
    progress = setup.restore(state)
    reason = "resumed" if found.warning is None else f"resumed from an older one: {found.warning}"
    notice = found.warning and f"{found.warning}; it resumes from an older checkpoint"
    damaged = damaged_files(directory)
    others = [name for name in damaged if name not in ROWS]
    if others:
        folder = set_aside(directory, others)
        notice = f"{damaged[others[0]]}; it is rewritten, and the old file is kept in {folder}"
        reason = f"{reason}; {notice}"
    position = (progress.epoch, progress.step)
    return Start(progress, Times(**state["times"]), position, reason, state, notice)


def _has_begun(directory: Path) -> bool:
    """Return whether the latest attempt got as far as training, rather than failing before."""
    attempt = latest_attempt(directory)
    return any(row["attempt"] == attempt for row in read_restarts(directory))


def _check_data(setup: Setup, state: dict[str, Any]) -> None:
    saved, found = state["data_digest"], setup.splits.digest
    if saved != found:
        raise DataChanged(
            f"workload {setup.spec.workload.name}: found data with digest {found}, but the run "
            f"began with {saved}; allowed: the same data, or mode force"
        )
