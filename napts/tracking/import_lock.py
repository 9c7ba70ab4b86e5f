"""One importer at a time: an advisory lock between processes."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from napts.records.files import open_plainly

LOCK_WAIT_S = 60.0
"""Longest wait for another importer in seconds, unless the caller sets another."""

_POLL_S = 0.1


class SyncBusy(RuntimeError):
    """Another process is importing into the same store; the message names the lock file."""


@contextmanager
def exclusive(path: Path, wait_s: float) -> Iterator[None]:
    """Hold the lock file ``path`` while the block runs.

    The operating system releases the lock when its holder ends, however it ends, so a lock file
    that was left behind does not block anything.

    Args:
        path: The lock file; created if missing, never removed.
        wait_s: Longest wait for another holder in seconds.

    Yields:
        Nothing; the lock is held inside the block.

    Raises:
        SyncBusy: Another process kept the lock for longer than ``wait_s``.
        OSError: The lock file is a link, or cannot be opened.
    """
    deadline = time.monotonic() + wait_s
    with open(path, "a", opener=open_plainly) as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise SyncBusy(
                        f"another sync holds {path} and imports the same runs; try again later"
                    ) from None
                time.sleep(_POLL_S)
        yield
