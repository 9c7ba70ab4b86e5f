"""Disturbing a process at a chosen call of the operating system, such as its third ``fsync``."""

import errno
import os
import signal
from collections import Counter
from collections.abc import Callable
from typing import Any

CALLS = ("write", "fsync", "replace", "unlink", "open", "ftruncate")
"""Calls of :mod:`os` by which a run changes its directory."""


def before_call(point: str, disturb: Callable[[], None]) -> None:
    """Do something just before one call, in this process.

    Args:
        point: ``CALL:N``: the N-th call of ``os.CALL``, from 1.
        disturb: What is done.
    """
    name, _, count = point.partition(":")
    original, left = getattr(os, name), int(count)

    def call(*arguments: Any, **options: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            disturb()
        return original(*arguments, **options)

    setattr(os, name, call)


def die_at(point: str, number: int = signal.SIGKILL) -> None:
    """Let this process send itself a signal just before a call, see `before_call`."""
    before_call(point, lambda: os.kill(os.getpid(), number))


def full_disk_at(point: str) -> None:
    """Let a call of this process fail as on a full disk, see `before_call`."""

    def fail() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before_call(point, fail)


def count_calls(counts: Counter[str]) -> None:
    """Count the calls of this process, by name."""
    for name in CALLS:
        setattr(os, name, _counted(name, getattr(os, name), counts))


def _counted(name: str, original: Callable[..., Any], counts: Counter[str]) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        counts[name] += 1
        return original(*arguments, **options)

    return call
