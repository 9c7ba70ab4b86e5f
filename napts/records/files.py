"""Writing files that survive a kill at any moment: atomic replacement and repaired appends.

Nothing is written through a symbolic link: otherwise anyone who can put one into the records could
choose which of the user's files is overwritten.
"""

import contextlib
import errno
import json
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from napts.records.damage import RecordError
from napts.records.rows import dump_row, encode_numbers, parse_row


class RecordWriteError(OSError):
    """A file of a run directory cannot be written, for example because the disk is full."""

    def __init__(self, path: Path, cause: OSError) -> None:
        reason = _LINK if cause.errno == errno.ELOOP else cause.strerror or cause
        super().__init__(f"{path}: cannot be written, {reason}")
        self.path = path


_LINK = "it is a symbolic link"


def refuse_links(records_root: Path, directory: Path) -> None:
    """Refuse a run directory through which files outside the records would be written.

    Args:
        records_root: The records folder; it may itself be a link.
        directory: The run directory in it; it need not exist.

    Raises:
        RecordError: The run directory or something in it is a symbolic link, or the experiment's
            folder is one that leads out of the records.
    """
    folder = directory.parent
    root = Path(os.path.realpath(records_root))
    if folder.is_symlink() and not Path(os.path.realpath(folder)).is_relative_to(root):
        raise RecordError(f"{folder}: a symbolic link out of the records, nothing is written there")
    if directory.is_symlink():
        raise RecordError(f"{directory}: a symbolic link, nothing is written there")
    try:
        with os.scandir(directory) as entries:
            links = sorted(entry.name for entry in entries if entry.is_symlink())
    except (FileNotFoundError, NotADirectoryError):
        return
    if links:
        raise RecordError(f"{directory / links[0]}: a symbolic link, nothing is written there")


def open_plainly(path: str | os.PathLike[str], flags: int) -> int:
    """Open a file for writing, unless it is a link, pipe or device; an ``opener`` for `open`.

    Args:
        path: The file.
        flags: As for `os.open`.

    Raises:
        OSError: It cannot be opened, or is something else.
    """
    flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a plain file")
    return descriptor


def write_atomic(path: Path, data: bytes, *, keep: Path | None = None) -> None:
    """Write a file so that a reader sees the old contents or the new, whatever happens.

    Args:
        path: Where to write; a neighbour ``<name>.tmp`` is used in between.
        data: The contents.
        keep: If given, the old file at ``path`` ends up there.

    Raises:
        RecordWriteError: Writing failed; ``path`` and ``keep`` are unchanged.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        # What an interrupted write left there, or whatever else it is, is not written into.
        temporary.unlink(missing_ok=True)
        with open(temporary, "xb", buffering=0) as file:
            _write_all(file.fileno(), data)
            os.fsync(file.fileno())
        if keep is not None and path.exists():
            os.replace(path, keep)
        os.replace(temporary, path)
        _sync_directory(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise RecordWriteError(path, error) from error


def write_object(path: Path, value: Mapping[str, Any]) -> None:
    """Write a mapping as an indented JSON file, atomically.

    Args:
        path: Where to write.
        value: Plain data; non-finite numbers are encoded as in `encode_numbers`.

    Raises:
        RecordWriteError: Writing failed.
    """
    text = json.dumps(encode_numbers(value), allow_nan=False, indent=2, ensure_ascii=False)
    write_atomic(path, f"{text}\n".encode())


class RowFile:
    """A JSON Lines file open for appending.

    Opening repairs an end that a killed writer left torn: a complete row gets its line break, and
    an incomplete one is cut off.

    Args:
        path: The file; created if missing.

    Raises:
        RecordWriteError: The file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._descriptor = open_plainly(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
            self._repair()
        except OSError as error:
            raise RecordWriteError(path, error) from error

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append rows and hand them to the operating system at once.

        Raises:
            RecordWriteError: Writing failed; the end may be torn.
        """
        text = "".join(f"{dump_row(row)}\n" for row in rows)
        try:
            _write_all(self._descriptor, text.encode())
        except OSError as error:
            raise RecordWriteError(self.path, error) from error

    def sync(self) -> None:
        """Wait until the rows are on the disk, so that they survive a loss of power."""
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise RecordWriteError(self.path, error) from error

    def close(self) -> None:
        """Close the file; it cannot be used afterwards."""
        os.close(self._descriptor)

    def _repair(self) -> None:
        size = os.fstat(self._descriptor).st_size
        end, start = b"", size
        while start and b"\n" not in end:
            start = max(start - _BLOCK, 0)
            end = os.pread(self._descriptor, size - start, start)
        torn = end[end.rfind(b"\n") + 1 :]
        if not torn:
            return
        if parse_row(torn) is None:
            os.ftruncate(self._descriptor, size - len(torn))
        else:
            _write_all(self._descriptor, b"\n")


_BLOCK = 1 << 16


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _sync_directory(path: Path) -> None:
    """Make a rename durable if the file system lets directories be synchronised."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
