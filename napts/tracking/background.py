"""The watcher process that a training run starts beside itself."""

import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType

from napts.records.files import open_plainly
from napts.tracking.store import ENVIRONMENT, checked_uri
from napts.tracking.watcher import INTERVAL_S

LOG = "sync.log"
FINISH_TIMEOUT_S = 15.0


class Watcher:
    """A process that copies the records into MLflow while this process trains.

    It has low priority and its own session. It ends on its own, after a last pass, when `finish` is
    called or this process dies. As a context manager it calls `finish` at the end of the block.

    Args:
        process: The process, started by `start_watcher`.
        records_root: The records folder.
    """

    def __init__(self, process: subprocess.Popen[bytes], records_root: Path) -> None:
        self.process = process
        self.records_root = records_root

    def finish(self, timeout_s: float = FINISH_TIMEOUT_S) -> str | None:
        """Ask for a last pass and wait for it.

        Args:
            timeout_s: Longest wait in seconds. After that, a slow store is left to the watcher,
                which continues on its own.

        Returns:
            None if MLflow holds everything, otherwise one line that says it is behind and how to
            catch up.
        """
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            status = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            # Nobody waits for it any more; it ends on its own.
            self.process.returncode = 0
            return self._behind("is still being filled")
        return self._behind("is behind") if status else None

    def _behind(self, how: str) -> str:
        return (
            f"MLflow {how} (see {self.records_root / LOG}); "
            f"the records are complete: napts sync {self.records_root}"
        )

    def __enter__(self) -> "Watcher":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        line = self.finish()
        if line is not None:
            print(line, file=sys.stderr)


def start_watcher(
    records_root: str | Path, tracking_uri: str | None = None, *, interval_s: float = INTERVAL_S
) -> Watcher:
    """Start copying a records folder into MLflow in a separate process.

    Nothing that happens there, not even an absent or slow server, affects this process.

    Args:
        records_root: The records folder; created if missing.
        tracking_uri: MLflow's address; None for the SQLite store inside the folder.
        interval_s: Pause in seconds between two looks at the records.

    Returns:
        The handle for ending it.
    """
    root = Path(records_root).resolve()
    uri = checked_uri(tracking_uri, root)
    root.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "napts.tracking", str(root)]
    command += ["--tracking-uri", uri, "--interval-s", str(interval_s)]
    with open(root / LOG, "ab", opener=open_plainly) as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env={**ENVIRONMENT, **os.environ},
            start_new_session=True,
        )
    return Watcher(process, root)
