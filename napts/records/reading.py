"""Opening files of records for reading: only plain files, of a plausible size."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from napts.records.damage import DamagedRun

OBJECT_BYTES = 64 << 20
"""Largest size in bytes of a file with one JSON object."""

ROW_BYTES = 1 << 20
"""Largest size in bytes of a line in a JSON Lines file."""


@contextmanager
def opened(path: Path, limit: int | None = None) -> Iterator[BinaryIO]:
    """Open a plain file for reading.

    Args:
        path: The file; a pipe, a device or a folder in its place does not make this wait.
        limit: Bytes that it may have; None for any number.

    Yields:
        The file, positioned at its beginning.

    Raises:
        FileNotFoundError: There is none.
        DamagedRun: It is not a plain file, is too large, or cannot be read.
    """
    try:
        with open(path, "rb", opener=_open_plain) as file:
            found = os.fstat(file.fileno())
            if limit is not None and found.st_size > limit:
                raise DamagedRun(path, f"found {found.st_size:,} bytes, allowed: up to {limit:,}")
            yield file
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DamagedRun(path, f"cannot be read, {error.strerror or error}") from None


def _open_plain(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "not a plain file")


def read_bytes(path: Path, limit: int = OBJECT_BYTES) -> bytes:
    """Return the contents of a plain file; arguments and errors as for `opened`."""
    with opened(path, limit) as file:
        return file.read()


def lines_of(path: Path, limit: int | None = None) -> Iterator[bytes]:
    """Return the lines of a plain file with their line breaks; only the last one may lack it.

    Args:
        path: The file.
        limit: Bytes that it may have; None for any number.

    Raises:
        FileNotFoundError: There is none.
        DamagedRun: As for `opened`, or a line is longer than `ROW_BYTES`.
    """
    with opened(path, limit) as file:
        number = 0
        while line := file.readline(ROW_BYTES + 1):
            number += 1
            if len(line) > ROW_BYTES:
                raise DamagedRun(path, f"line {number} is longer than {ROW_BYTES:,} bytes")
            yield line
