"""Other processes: whether they are there, and waiting for what they do."""

import time
from collections.abc import Callable

import psutil


def is_alive(pid: int) -> bool:
    """Return whether a process is there and has not ended."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 120.0) -> None:
    """Wait for a condition; the limit is far beyond what it takes."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(0.02)
