"""The part of the records that is worth keeping in a repository."""

import hashlib
import json
import shutil
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from napts.records import layout
from napts.records.files import refuse_links, write_atomic, write_object
from napts.records.packed import SUFFIX, load_packed, pack, unpack
from napts.records.read import find_runs, load_run
from napts.records.rows import dump_row
from napts.records.step_rows import without_steps

_COPIED = (layout.SPEC, layout.EPOCHS)


def condense(source_root: str | Path, target_root: str | Path) -> list[Path]:
    """Copy every run without its steps, checkpoints and lock.

    Computer names are replaced by a short digest that still distinguishes machines; process
    numbers are dropped.

    Args:
        source_root: A records folder.
        target_root: Where the copies go, as ``<experiment>/<run key>``; older copies are replaced.

    Returns:
        The run directories that were written, sorted.

    Raises:
        RecordError: A run cannot be read, in which case nothing is written; or its name leads out
            of ``target_root``.
    """
    targets = []
    # All of them are read before anything is written.
    for source, record in [(path, load_run(path)) for path in find_runs(source_root)]:
        target = layout.run_directory(target_root, record.experiment, record.run_key)
        refuse_links(Path(target_root), target)
        target.mkdir(parents=True, exist_ok=True)
        for name in _COPIED:
            if (source / name).exists():
                write_atomic(target / name, (source / name).read_bytes())
        write_object(target / layout.ENVIRONMENT, _anonymous(record.environment))
        write_object(target / layout.STATUS, _anonymous(record.status))
        lines = (dump_row(_anonymous(row)) for row in without_steps(record.restarts))
        write_atomic(target / layout.RESTARTS, "".join(f"{line}\n" for line in lines).encode())
        targets.append(target)
    return sorted(targets)


def condense_packed(source_root: str | Path, target_root: str | Path) -> list[Path]:
    """Write the same, one file per experiment; see `napts.records.pack`.

    Args:
        source_root: A records folder.
        target_root: Folder of the files. Runs that an older file has and the source lacks stay in
            it, and so do those that are done there and not in the source.

    Returns:
        The files.
    """
    by_experiment: dict[str, list[Path]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for path in condense(source_root, folder):
            by_experiment[path.parent.name].append(path)
        for experiment, paths in by_experiment.items():
            paths += _kept(Path(target_root) / f"{experiment}{SUFFIX}", paths, Path(folder))
        return [
            pack(paths, Path(target_root) / f"{experiment}{SUFFIX}")
            for experiment, paths in by_experiment.items()
        ]


def _kept(older: Path, newer: list[Path], folder: Path) -> list[Path]:
    """Write the runs of an older file that the newer ones do not stand for, and return them."""
    if not older.is_file():
        return []
    done = {run.run_key for run in load_packed(older) if run.state == "done"}
    for path in [path for path in newer if path.name in done and load_run(path).state != "done"]:
        shutil.rmtree(path)
        newer.remove(path)
    return unpack(older, folder)


def _anonymous(row: dict[str, Any]) -> dict[str, Any]:
    hostname = row.get("hostname")
    if hostname and not hostname.startswith("host-"):
        digest = hashlib.sha256(json.dumps(hostname).encode()).hexdigest()[:8]
        row = {**row, "hostname": f"host-{digest}"}
    return {name: value for name, value in row.items() if name != "pid"}
