"""Arrays that a run keeps for pictures, beside its rows: ``kept.npz``."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napts.records import layout
from napts.records.files import write_atomic


def write_kept(directory: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays of numbers into a run directory, in place of those that are there.

    Args:
        directory: The run directory.
        arrays: What NumPy makes arrays of, by name; they keep their order.

    Raises:
        RecordWriteError: The file cannot be written.
    """
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_atomic(directory / layout.KEPT, buffer.getvalue())


def read_kept(directory: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a run; none where it has none, or its file cannot be read.

    Nothing in the file is run.

    Args:
        directory: The run directory; that of a packed run need not exist.
    """
    try:
        content = io.BytesIO((directory / layout.KEPT).read_bytes())
        with np.load(content, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return {}
