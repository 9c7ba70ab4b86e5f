"""The part of the records that is worth keeping in a repository."""

import hashlib
import json
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any

from napts.records import layout
from napts.records.files import refuse_links, write_atomic, write_object
from napts.records.packed import SUFFIX, as_thinned, load_packed, pack, unpack
from napts.records.read import RunRecord, find_runs, load_run, read_header, read_status
from napts.records.rows import dump_rows
from napts.records.step_rows import without_steps
from napts.records.thinning import best_of, thin

_COPIED = (layout.SPEC, layout.EPOCHS)


def condense(
    source_root: str | Path,
    target_root: str | Path,
    *,
    thinned: bool = False,
    beside: Iterable[RunRecord] = (),
) -> list[Path]:
    """Copy every run without its steps, checkpoints and lock.

    Computer names are replaced by a short digest that still distinguishes machines; process
    numbers are dropped.

    Args:
        source_root: A records folder.
        target_root: Where the copies go, as ``<experiment>/<run key>``; older copies are replaced.
        thinned: Whether long runs keep only some of their rows; see `napts.records.thinning`.
        beside: Further runs whose best values are targets for them.

    Returns:
        The run directories that were written, sorted.

    Raises:
        RecordError: A run cannot be read, in which case nothing is written; or its name leads out
            of ``target_root``.
    """
    targets = []
    # All of them are read before anything is written.
    runs = [(path, load_run(path)) for path in find_runs(source_root)]
    targets_of = _best_values([*(record for _, record in runs), *beside]) if thinned else {}
    for source, record in runs:
        target = layout.run_directory(target_root, record.experiment, record.run_key)
        refuse_links(Path(target_root), target)
        target.mkdir(parents=True, exist_ok=True)
        for name in _COPIED:
            if (source / name).exists():
                write_atomic(target / name, (source / name).read_bytes())
        if thinned:
            _thin(target, record, targets_of[_problem(record)])
        write_object(target / layout.ENVIRONMENT, _anonymous(record.environment))
        write_object(target / layout.STATUS, _anonymous(record.status))
        restarts = map(_anonymous, without_steps(record.restarts))
        write_atomic(target / layout.RESTARTS, dump_rows(restarts))
        targets.append(target)
    return sorted(targets)


def condense_packed(
    source_root: str | Path, target_root: str | Path, *, thinned: bool = False
) -> list[Path]:
    """Write the same, one file per experiment; see `napts.records.pack`.

    Args:
        source_root: A records folder.
        target_root: Folder of the files. Runs that an older file has and the source lacks stay in
            it, and so do those that are done there and not in the source.
        thinned: As for `condense`.

    Returns:
        The files.
    """
    by_experiment: dict[str, list[Path]] = defaultdict(list)
    older = _packed_before(source_root, Path(target_root)) if thinned else []
    with tempfile.TemporaryDirectory() as folder:
        for path in condense(source_root, folder, thinned=thinned, beside=older):
            by_experiment[path.parent.name].append(path)
        for experiment, paths in by_experiment.items():
            paths += _kept(Path(target_root) / f"{experiment}{SUFFIX}", paths, Path(folder))
        return [
            pack(paths, Path(target_root) / f"{experiment}{SUFFIX}")
            for experiment, paths in by_experiment.items()
        ]


def _packed_before(source_root: str | Path, target_root: Path) -> list[RunRecord]:
    """Return the runs that the target has of the source's experiments."""
    names = {read_status(path).experiment for path in find_runs(source_root)}
    files = [target_root / f"{name}{SUFFIX}" for name in sorted(names)]
    return [run for file in files if file.is_file() for run in load_packed(file)]


def _best_values(runs: Iterable[RunRecord]) -> dict[Hashable, set[float]]:
    """Return the best values of runs, by what only those share that are compared seed by seed."""
    found: dict[Hashable, set[float]] = defaultdict(set)
    for run in runs:
        best = best_of(run)
        found[_problem(run)] |= set() if best is None else {best}
    return found


def _problem(run: RunRecord) -> Hashable:
    return run.experiment, run.workload, run.seed, run.primary


def _thin(target: Path, record: RunRecord, targets: Iterable[float]) -> None:
    """Replace the rows of a copy, if its run is long."""
    thinner = thin(record, targets)
    if thinner is record:
        return
    write_atomic(target / layout.EPOCHS, dump_rows(thinner.epochs))
    write_object(target / layout.SPEC, read_header(target) | as_thinned(thinner))


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
