"""The state of a run: what its directory claims, checked against living processes."""

import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STALE_AFTER_S = 1800.0
"""A run on another machine that wrote nothing for this long counts as dead (our choice: thirty
times the default interval between checkpoints)."""

_CLOCK_SLACK_S = 60.0

MLFLOW_STATUS = {
    "running": "RUNNING",
    "done": "FINISHED",
    "failed": "FAILED",
    "diverged": "FAILED",
    "interrupted": "KILLED",
    "killed": "KILLED",
}
"""MLflow's status for each state. "killed" is our word for a run that claims to be running while
its process is gone."""


@dataclass(frozen=True)
class RunState:
    """State of a run and when it ended.

    Attributes:
        name: One of the keys of `MLFLOW_STATUS`.
        end_time: Unix seconds of the last sign of life; None while the run is in progress.
    """

    name: str
    end_time: float | None

    @property
    def mlflow_status(self) -> str:
        """MLflow's name of the status, for example ``"FINISHED"``."""
        return MLFLOW_STATUS[self.name]


def judge(
    path: Path, status: Mapping[str, Any], *, stale_after_s: float = STALE_AFTER_S
) -> RunState:
    """Return the state of a run.

    Args:
        path: The run directory.
        status: Contents of its ``status.json``.
        stale_after_s: Silence in seconds after which a run on another machine counts as dead.

    Returns:
        The claimed state, or "killed" for a run that claims to be running but whose process is
        gone (same machine) or silent for too long (another machine). A run that is started again
        is running again.
    """
    state = str(status.get("state", "interrupted"))
    last_sign = max(float(status.get("updated") or 0.0), _last_write(path))
    if state != "running":
        return RunState(state, float(status.get("updated") or last_sign))
    if status.get("hostname") == platform.node():
        alive = _process_lives(status.get("pid"), float(status.get("updated") or last_sign))
    else:
        alive = time.time() - last_sign <= stale_after_s
    return RunState("running", None) if alive else RunState("killed", last_sign)


def _last_write(path: Path) -> float:
    """Return the time of the newest write into a run directory, in unix seconds."""
    times = []
    for file in path.iterdir():
        try:
            times.append(file.lstat().st_mtime)  # of a link that leads nowhere, too
        except FileNotFoundError:  # a temporary file that was renamed meanwhile
            continue
    return max(times, default=path.stat().st_mtime)


def _process_lives(pid: Any, seen: float) -> bool:
    """Tell whether process ``pid`` is the one that was alive at ``seen`` (unix seconds).

    The run's lock is deliberately not tried: taking it even for an instant could turn away a run
    that is just being restarted.
    """
    import psutil

    try:
        process = psutil.Process(int(pid))
        # Process numbers are used again; the run's own process began before its last report.
        is_same = process.create_time() <= seen + _CLOCK_SLACK_S
        return is_same and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, TypeError, ValueError, OverflowError):
        return False
