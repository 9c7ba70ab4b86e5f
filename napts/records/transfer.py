"""Copying a run directory so that a reader sees all of it or nothing, whatever interrupts this.

The copy is made in a hidden folder beside its place and then renamed. If an older copy is in the
way, it is renamed first; `recover` puts it back if the next rename never happened.
"""

import os
import shutil
from pathlib import Path

from napts.records import layout
from napts.records.aside import FOLDER, free_folder
from napts.records.read import load_run
from napts.records.rows import RecordError
from napts.records.run_lock import RunLock

_STAGED = ".incoming"
_ASIDE = ".replaced"
_DAMAGED = ".damaged"
_BLOCK = 1 << 20


def run_files(run: Path, root: Path) -> list[Path]:
    """Return the files of a run directory that make up the run.

    Args:
        run: The run directory.
        root: The folder that links must not leave.

    Returns:
        Paths relative to ``run``, in an order in which a run that is being written can be copied:
        checkpoints before the rows that they rely on, ``status.json`` before the rows that it
        mentions. The lock, temporary files and hidden files are left out.

    Raises:
        RecordError: A symbolic link leads out of ``root``.
    """
    inside = Path(os.path.realpath(root))
    _check_link(run, inside)
    found = []
    for folder, subfolders, names in os.walk(run):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        for name in names:
            path = Path(folder, name)
            if name == layout.LOCK or name.endswith(".tmp") or name.startswith("."):
                continue
            _check_link(path, inside)
            if path.is_file():
                found.append(path.relative_to(run))
    return sorted(found, key=_copy_order)


def _check_link(path: Path, inside: Path) -> None:
    # Unlike `Path.resolve` this does not raise for links that lead in a circle.
    if not Path(os.path.realpath(path)).is_relative_to(inside):
        raise RecordError(f"{path}: a link that leads out of {inside}, not followed")


def _copy_order(path: Path) -> tuple[int, str]:
    if path.name == layout.CHECKPOINT:
        return 0, str(path)
    if path.name.startswith("checkpoint"):
        return 1, str(path)
    # A restart makes older rows void, so it has to come after them.
    return {layout.STATUS: 2, layout.RESTARTS: 4}.get(path.name, 3), str(path)


def identical(first: Path, second: Path, files: list[Path]) -> bool:
    """Tell whether two run directories hold the same files.

    Args:
        first: A run directory.
        second: Another one.
        files: What `run_files` returns for ``first``.

    Returns:
        Whether ``second`` has the same files with the same contents, and no others.
    """
    if sorted(run_files(second, second)) != sorted(files):
        return False
    return all(_same_bytes(first / name, second / name) for name in files)


def _same_bytes(first: Path, second: Path) -> bool:
    if first.stat().st_size != second.stat().st_size:
        return False
    with first.open("rb") as one, second.open("rb") as other:
        while block := one.read(_BLOCK):
            if block != other.read(_BLOCK):
                return False
    return True


def copy_run(source: Path, files: list[Path], target: Path, *, damaged: bool = False) -> None:
    """Copy a run directory, possibly over an older copy of it.

    Args:
        source: The run directory; another process may be writing it.
        files: What to copy, from `run_files`.
        target: Where to copy.
        damaged: Whether the older copy is damaged; it is then kept in the new one, see
            `napts.records.aside`.

    Raises:
        RunBusy: A process is writing ``target``.
        RecordError: What was copied is damaged; ``target`` is unchanged.
        OSError: Copying failed; ``target`` is unchanged.
    """
    staged = _beside(target, _STAGED)
    shutil.rmtree(staged, ignore_errors=True)
    try:
        staged.mkdir(parents=True)
        for name in files:
            _copy_file(source / name, staged / name)
        load_run(staged)
        _put(staged, target, damaged=damaged)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _copy_file(source: Path, target: Path) -> None:
    target.parent.mkdir(exist_ok=True, parents=True)
    try:
        before = source.stat()
        shutil.copyfile(source, target)
    except FileNotFoundError:  # the run has just removed or rotated a checkpoint
        return
    descriptor = os.open(target, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    # The time tells whether a run is still alive; of access rights only the contents' matter here.
    os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns))


def _put(staged: Path, target: Path, *, damaged: bool) -> None:
    if not target.exists():
        staged.rename(target)
        return
    aside = _beside(target, _DAMAGED if damaged else _ASIDE)
    with RunLock(target):
        # The same lock file, so that who waits for the old directory's lock gets the new one's.
        os.link(target / layout.LOCK, staged / layout.LOCK)
        target.rename(aside)
        try:
            staged.rename(target)
        except BaseException:
            aside.rename(target)
            raise
    _clear(aside, target)


def _clear(aside: Path, target: Path) -> None:
    """Remove the replaced copy; a damaged one is kept in its replacement."""
    if aside.name.endswith(_DAMAGED):
        aside.rename(free_folder(target))
        return
    for folder in sorted(aside.glob(f"{FOLDER}-*")):
        folder.rename(free_folder(target))
    shutil.rmtree(aside)


def recover(records_root: Path) -> None:
    """Clean up what a killed copy left behind.

    Args:
        records_root: The target of the copy; no other process may be copying into it.
    """
    for suffix in (_ASIDE, _DAMAGED):
        for aside in records_root.glob(f"*/.*{suffix}"):
            target = aside.with_name(aside.name[1 : -len(suffix)])
            if target.exists():
                _clear(aside, target)
            else:
                aside.rename(target)
    for staged in records_root.glob(f"*/.*{_STAGED}"):
        shutil.rmtree(staged)


def _beside(target: Path, suffix: str) -> Path:
    return target.with_name(f".{target.name}{suffix}")
