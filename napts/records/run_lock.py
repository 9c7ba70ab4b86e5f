"""One writer per run directory: an advisory lock that the kernel drops when its holder dies."""

import errno
import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from napts.records.files import RecordWriteError, open_plainly
from napts.records.layout import LOCK

_PATIENCE_S = 0.25
"""A reader that probes the lock holds it for an instant; waiting this long outlasts it."""


class RunBusy(RuntimeError):
    """Another process is writing this run directory."""

    def __init__(self, directory: Path, holder: str) -> None:
        who = f" ({holder})" if holder else ""
        super().__init__(f"{directory}: another process{who} is running this run; nothing was done")
        self.directory = directory


class RunLock:
    """Holds the lock of a run directory within a ``with`` block.

    Args:
        directory: A run directory, made if missing.

    Raises:
        RunBusy: On entering, if another process holds it.
        RecordWriteError: On entering, if the lock is a symbolic link or cannot be written.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        descriptor = self._acquired()
        while not _is_at(descriptor, self.directory / LOCK):  # its last holder has removed it
            os.close(descriptor)
            descriptor = self._acquired()
        self._descriptor = descriptor
        try:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"process {os.getpid()} on {os.uname().nodename}\n".encode())
        except OSError as error:
            self._release()
            raise RecordWriteError(self.directory / LOCK, error) from error
        return self

    def _acquired(self) -> int:
        descriptor = _opened(self.directory)
        if not _acquire(descriptor, _PATIENCE_S):
            holder = os.read(descriptor, 200).decode(errors="replace").strip()
            os.close(descriptor)
            raise RunBusy(self.directory, holder)
        return descriptor

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._release()

    def _release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def is_locked(directory: Path) -> bool:
    """Return whether some process is currently writing this run directory.

    Args:
        directory: A run directory.
    """
    try:
        descriptor = open_plainly(directory / LOCK, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EINVAL):  # no lock that a run would hold
            return False
        raise
    try:
        return not _acquire(descriptor, 0.0, shared=True)
    finally:
        os.close(descriptor)


def _opened(directory: Path) -> int:
    while True:
        directory.mkdir(parents=True, exist_ok=True)
        try:
            return open_plainly(directory / LOCK, os.O_RDWR | os.O_CREAT)
        except FileNotFoundError:  # another process has just removed the directory
            continue
        except OSError as error:
            raise RecordWriteError(directory / LOCK, error) from error


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _acquire(descriptor: int, patience_s: float, *, shared: bool = False) -> bool:
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)
        else:
            return True
