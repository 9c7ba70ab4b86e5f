"""Where an attempt at a run begins: anew, or at its last checkpoint."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napts.experiment.checkpoint import find_checkpoint, remove_checkpoints
from napts.experiment.clock import Times
from napts.experiment.progress import Progress
from napts.experiment.setup import Setup
from napts.records.layout import RESTARTS, STATUS
from napts.records.rows import read_object, read_rows


class DataChanged(ValueError):
    """The data are not those that the run began with."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where an attempt begins, and why there is one.

    Attributes:
        progress: How far the run is.
        times: Times of the running epoch that an earlier process has spent.
        resumed_from: Epochs finished and steps done in the next, or None for a fresh start.
        reason: Why there is this attempt, for people.
        state: The checkpoint that was restored, or None.
    """

    progress: Progress
    times: Times
    resumed_from: tuple[int, int] | None
    reason: str
    state: dict[str, Any] | None = None


def start_of(setup: Setup, directory: Path, mode: str, ended: str | None) -> Start:
    """Restore the last checkpoint into the setup, or begin anew.

    Args:
        setup: What is trained; it takes over the state of the checkpoint.
        directory: The run directory, whose lock the caller holds.
        mode: See :func:`napts.experiment.run`.
        ended: The state in which the run has ended before, or None if it has not.

    Raises:
        DataChanged: The data are not those that the run began with.
    """
    if mode == "force" or (ended is not None and _has_begun(directory)):
        remove_checkpoints(directory)
        why = "forced" if mode == "force" or ended is None else f"retried, it had {ended}"
        return Start(Progress(), Times(), None, f"started anew: {why}")
    found = find_checkpoint(directory, setup.spec.run_key)
    if found.state is None:
        first = "started anew: no checkpoint" if (directory / RESTARTS).exists() else "started"
        return Start(Progress(), Times(), None, found.warning or first)
    _check_data(setup, found.state)
    progress = setup.restore(found.state)
    reason = "resumed" if found.warning is None else f"resumed from an older one: {found.warning}"
    position = (progress.epoch, progress.step)
    return Start(progress, Times(**found.state["times"]), position, reason, found.state)


def _has_begun(directory: Path) -> bool:
    """Return whether the latest attempt came as far as training, rather than failed before."""
    attempt = read_object(directory / STATUS).get("attempt") or 0
    return any(row["attempt"] == attempt for row in read_rows(directory / RESTARTS))


def _check_data(setup: Setup, state: dict[str, Any]) -> None:
    saved, found = state["data_digest"], setup.splits.digest
    if saved != found:
        raise DataChanged(
            f"workload {setup.spec.workload.name}: found data with digest {found}, but the run "
            f"began with {saved}; allowed: the same data, or mode force"
        )
