"""Moving a run's damaged files out of the way of its next attempt."""

import os
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from pathlib import Path

from napts.records import layout
from napts.records.damage import DamagedRun
from napts.records.files import RecordWriteError
from napts.records.read import (
    NoRun,
    read_environment,
    read_epochs,
    read_header,
    read_restarts,
    read_state,
    read_steps,
)
from napts.records.reading import opened

FOLDER = ".damaged"
"""Damaged files go to ``.damaged-1`` and so on within the run directory; nothing reads them."""

ROWS = (layout.RESTARTS, layout.EPOCHS, layout.STEPS)
"""The files without which a run cannot resume from a checkpoint."""

CHECKPOINTS = (layout.CHECKPOINT, layout.PREVIOUS_CHECKPOINT)

FILES = (
    *CHECKPOINTS,
    *ROWS,
    *(layout.ENVIRONMENT, layout.TRACEBACK, layout.KEPT, layout.STATUS, layout.SPEC),
)
"""In the order in which they are moved: after a kill in between, the rest is still damaged."""

_READERS: Mapping[str, Callable[[Path], object]] = {
    layout.SPEC: read_header,
    layout.STATUS: read_state,
    layout.ENVIRONMENT: read_environment,
    layout.RESTARTS: read_restarts,
    layout.EPOCHS: read_epochs,
    layout.STEPS: lambda directory: read_steps(directory, []),
}


def damaged_files(directory: Path) -> dict[str, str]:
    """Return the files of a run directory that cannot be read, with what is wrong with each.

    Args:
        directory: The run directory.

    Raises:
        NewerSchema: A file has a later version of the format.
    """
    found: dict[str, str] = {}
    for name in FILES:
        try:
            with opened(directory / name):
                pass
            if name in _READERS:
                _READERS[name](directory)
        except (FileNotFoundError, NotADirectoryError, NoRun):
            continue
        except DamagedRun as error:
            found[name] = str(error).removeprefix(f"{directory}/")
    return found


def free_folder(directory: Path) -> Path:
    """Return a new folder name for damaged files.

    Args:
        directory: The run directory.
    """
    return next(
        folder
        for number in count(1)
        if not os.path.lexists(folder := directory / f"{FOLDER}-{number}")
    )


def set_aside(directory: Path, names: Iterable[str] = FILES) -> str:
    """Move files of a run into a folder of their own, from which nothing is read.

    Args:
        directory: The run directory, whose lock the caller holds.
        names: The files; missing ones are skipped.

    Returns:
        Name of the folder.

    Raises:
        RecordWriteError: They cannot be moved.
    """
    folder = free_folder(directory)
    try:
        folder.mkdir()
        for name in names:
            if os.path.lexists(directory / name):
                os.rename(directory / name, folder / name)
    except OSError as error:
        raise RecordWriteError(folder, error) from error
    return folder.name
