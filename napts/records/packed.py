"""Many runs in one file: what is committed of sweeps with hundreds of runs."""

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from napts.records import layout
from napts.records.absent_options import with_absent_options
from napts.records.files import write_object
from napts.records.read import RunRecord, load_run, purpose_of
from napts.records.rows import RecordError, decode_numbers, dump_row

SUFFIX = ".runs.jsonl.gz"
"""Packed runs are files ``<experiment>.runs.jsonl.gz``, one line per run."""

_FIELDS = ("run_key", "experiment", "label", "spec", "status", "environment", "epochs", "restarts")


def pack(run_directories: Iterable[Path], target: Path) -> Path:
    """Write runs into one file; the same runs give the same bytes.

    Args:
        run_directories: Condensed run directories of one experiment.
        target: File to write, which ends in `SUFFIX`.

    Returns:
        The file.

    Raises:
        RecordError: A run cannot be read.
    """
    runs = sorted((load_run(path) for path in run_directories), key=lambda run: run.run_key)
    lines = (dump_row(_packed(run)) for run in runs)
    target.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{line}\n" for line in lines)
    target.write_bytes(gzip.compress(text.encode(), mtime=0))
    return target


def unpack(path: str | Path, records_root: str | Path) -> list[Path]:
    """Write the runs of a file as run directories, so that a sweep goes on from them.

    Args:
        path: File of packed runs.
        records_root: Where to; a run directory that is there already is left alone.

    Returns:
        The run directories that were written.

    Raises:
        RecordError: The file is damaged.
    """
    written = []
    for run in load_packed(path):
        directory = layout.run_directory(records_root, run.experiment, run.run_key)
        if directory.exists():
            continue
        directory.mkdir(parents=True)
        names = ("run_key", "experiment", "label", "spec")
        header = {"schema": layout.SCHEMA, **{name: getattr(run, name) for name in names}}
        header |= _purpose(run)
        for name, rows in ((layout.EPOCHS, run.epochs), (layout.RESTARTS, run.restarts)):
            (directory / name).write_text("".join(f"{dump_row(row)}\n" for row in rows))
        write_object(directory / layout.ENVIRONMENT, run.environment)
        write_object(directory / layout.STATUS, run.status)
        write_object(directory / layout.SPEC, header)
        written.append(directory)
    return written


def find_packed(root: str | Path) -> list[Path]:
    """Return the files of packed runs in a records folder, or the one that ``root`` is."""
    root = Path(root)
    if root.is_file() and root.name.endswith(SUFFIX):
        return [root]
    return sorted(root.glob(f"*{SUFFIX}"))


def load_packed(path: str | Path) -> list[RunRecord]:
    """Read the runs of one file; they have no steps.

    Raises:
        RecordError: The file is damaged.
    """
    path = Path(path)
    try:
        lines = gzip.decompress(path.read_bytes()).splitlines()
        rows = [decode_numbers(json.loads(line)) for line in lines]
        if not rows:
            raise RecordError("no run in it")
        return [_record(path, row) for row in rows]
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{path}: damaged, {error}") from None


def _packed(run: RunRecord) -> dict[str, Any]:
    return {**{name: getattr(run, name) for name in _FIELDS}, **_purpose(run)}


def _purpose(run: RunRecord) -> dict[str, Any]:
    return {"primary": run.primary.as_dict(), "kind": run.kind}


def _record(path: Path, row: dict[str, Any]) -> RunRecord:
    directory = path.parent / row["experiment"] / row["run_key"]
    fields = {name: row[name] for name in _FIELDS}
    primary, kind = purpose_of(row)
    fields |= {"spec": with_absent_options(row["spec"]), "primary": primary, "kind": kind}
    return RunRecord(path=directory, **fields)
