"""A run directory while one process writes it: it stays if something was recorded."""

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from napts.records.layout import LOCK
from napts.records.run_lock import RunLock


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Make a run directory if needed, and hold its lock.

    If the block raises before anything was written there, the directory is removed again, along
    with those above it that were made for it.

    Args:
        directory: The run directory.

    Yields:
        Nothing.

    Raises:
        RunBusy: Another process holds it.
    """
    made = [folder for folder in (directory, *directory.parents) if not folder.exists()]
    with RunLock(directory):
        try:
            yield
        except BaseException:
            if all(entry.name == LOCK for entry in directory.iterdir()):
                _remove(directory, made)
            raise


def _remove(directory: Path, made: Sequence[Path]) -> None:
    with contextlib.suppress(OSError):  # not empty any more, or not ours
        (directory / LOCK).unlink()
        directory.rmdir()
        for folder in made[1:]:
            folder.rmdir()
