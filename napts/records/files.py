"""Writing files that survive a kill at any moment: atomic replacement and repaired appends."""

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from napts.records.rows import dump_row, encode_numbers, parse_row


class RecordWriteError(OSError):
    """A file of a run directory cannot be written, for example because the disk is full."""

    def __init__(self, path: Path, cause: OSError) -> None:
        super().__init__(f"{path}: cannot be written, {cause.strerror or cause}")
        self.path = path


def write_atomic(path: Path, data: bytes, *, keep: Path | None = None) -> None:
    """Write a file so that a reader sees the old contents or the new, whatever happens.

    Args:
        path: Where to; a neighbour ``<name>.tmp`` is used on the way.
        data: The contents.
        keep: If given, what was at ``path`` ends up there.

    Raises:
        RecordWriteError: Writing failed; ``path`` and ``keep`` are as they were.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        with open(temporary, "wb", buffering=0) as file:
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
        path: Where to.
        value: Plain data; non-finite numbers are encoded as in `encode_numbers`.

    Raises:
        RecordWriteError: Writing failed.
    """
    text = json.dumps(encode_numbers(value), allow_nan=False, indent=2, ensure_ascii=False)
    write_atomic(path, f"{text}\n".encode())


class RowFile:
    """A JSON Lines file open for appending.

    Opening repairs an end that a killed writer left torn: a complete row gets its line break, an
    incomplete one is cut off.

    Args:
        path: The file; created if missing.

    Raises:
        RecordWriteError: The file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
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
        """Wait until the rows are on the disk, so that they outlive a loss of power."""
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise RecordWriteError(self.path, error) from error

    def close(self) -> None:
        """Close the file; it cannot be used afterwards."""
        os.close(self._descriptor)

    def _repair(self) -> None:
        contents = self.path.read_bytes()
        if not contents or contents.endswith(b"\n"):
            return
        start = contents.rfind(b"\n") + 1
        if parse_row(contents[start:]) is None:
            os.ftruncate(self._descriptor, start)
        else:
            _write_all(self._descriptor, b"\n")


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _sync_directory(path: Path) -> None:
    """Make a rename durable where the file system lets directories be synchronised."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
