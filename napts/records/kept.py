"""Arrays that a run keeps for figures, beside its rows: ``kept.npz``."""

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napts.records import layout
from napts.records.files import write_atomic
from napts.records.reading import read_bytes

KEPT_BYTES = 256 << 20
"""Largest size of a run's arrays in bytes."""

_UNREADABLE = (OSError, ValueError, EOFError, KeyError, MemoryError, zipfile.BadZipFile, zlib.error)


def write_kept(directory: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays of numbers into a run directory, replacing any that are there.

    Args:
        directory: The run directory.
        arrays: Anything NumPy can make arrays from, by name; they keep their order.

    Raises:
        RecordWriteError: The file cannot be written.
    """
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_atomic(directory / layout.KEPT, buffer.getvalue())


def read_kept(directory: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a run; empty if it has none, or if its file cannot be read.

    Nothing in the file is executed.

    Args:
        directory: The run directory; that of a packed run need not exist.
    """
    try:
        content = io.BytesIO(read_bytes(directory / layout.KEPT))
        with zipfile.ZipFile(content) as archive:
            if sum(part.file_size for part in archive.infolist()) > KEPT_BYTES:
                return {}
        with np.load(content, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except _UNREADABLE:
        return {}
