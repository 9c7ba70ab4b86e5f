"""Many runs in one file: the form in which sweeps with hundreds of runs are committed."""

import gzip
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from napts.records import layout
from napts.records.absent_options import with_absent_options
from napts.records.damage import Damage, DamagedRun, RecordError, check_run
from napts.records.files import refuse_links, write_atomic, write_object
from napts.records.read import STATES, RunRecord, load_run, purpose_of
from napts.records.reading import opened
from napts.records.rows import Misshapen, dump_row, dump_rows, object_of
from napts.records.shape import check_header, check_schema, checker
from napts.records.step_rows import without_steps
from napts.text import one_line, shown

SUFFIX = ".runs.jsonl.gz"
"""Packed runs are files ``<experiment>.runs.jsonl.gz``, one line per run."""

PACKED_BYTES = 512 << 20
"""Largest unpacked size of a file of packed runs in bytes."""

RUN_BYTES = 64 << 20
"""Largest size of one of its lines in bytes."""

_FIELDS = ("run_key", "experiment", "label", "spec", "status", "environment", "epochs", "restarts")


def pack(run_directories: Iterable[Path], target: Path) -> Path:
    """Write runs into one file; the same runs give the same bytes.

    Args:
        run_directories: Condensed run directories of one experiment.
        target: File to write, whose name ends in `SUFFIX`.

    Returns:
        The file.

    Raises:
        RecordError: A run cannot be read.
    """
    runs = sorted((load_run(path) for path in run_directories), key=lambda run: run.run_key)
    lines = (dump_row(_packed(run)) for run in runs)
    target.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{line}\n" for line in lines)
    write_atomic(target, gzip.compress(text.encode(), mtime=0))
    return target


def unpack(path: str | Path, records_root: str | Path) -> list[Path]:
    """Write the runs of a file as run directories, so that a sweep can continue from them.

    Args:
        path: File of packed runs.
        records_root: Where to write; an existing run directory is left alone.

    Returns:
        The run directories that were written.

    Raises:
        RecordError: The file is damaged, or a link leads out of the records.
    """
    written = []
    for run in load_packed(path):
        directory = layout.run_directory(records_root, run.experiment, run.run_key)
        refuse_links(Path(records_root), directory)
        if directory.exists():
            continue
        directory.mkdir(parents=True)
        names = ("run_key", "experiment", "label", "spec")
        header = {"schema": layout.SCHEMA, **{name: getattr(run, name) for name in names}}
        header |= _purpose(run) | as_thinned(run)
        for name, rows in ((layout.EPOCHS, run.epochs), (layout.RESTARTS, run.restarts)):
            (directory / name).write_bytes(dump_rows(rows))
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
        NewerSchema: A run has a later version of the format.
        DamagedRun: The file or one of its runs is damaged.
    """
    path = Path(path)
    runs = [_record(path, number, line) for number, line in enumerate(_lines(path), 1)]
    if not runs:
        raise DamagedRun(path, "damaged, no run in it")
    return runs


def read_packed(path: str | Path) -> tuple[list[RunRecord], list[Damage]]:
    """Read the good runs of one file.

    Returns:
        The runs, and what is wrong with each of the others; if a file cannot be unpacked to its
        end, none of its runs is good.
    """
    path, runs, damages = Path(path), [], []
    try:
        for number, line in enumerate(_lines(path), 1):
            try:
                runs.append(_record(path, number, line))
            except RecordError as error:
                damages.append(Damage.of(path, error))
    except (OSError, RecordError) as error:
        return [], [Damage.of(path, error)]
    if not runs and not damages:
        damages.append(Damage(path, "damaged, no run in it"))
    return runs, damages


def _packed(run: RunRecord) -> dict[str, Any]:
    fields = {name: getattr(run, name) for name in _FIELDS}
    return {**fields, "restarts": without_steps(run.restarts), **_purpose(run), **as_thinned(run)}


def as_thinned(run: RunRecord) -> dict[str, Any]:
    """Return what the header of a thinned copy says besides; nothing for any other run."""
    if run.thinned is None:
        return {}
    return {"schema": layout.THINNED_SCHEMA, "thinned": run.thinned}


def _purpose(run: RunRecord) -> dict[str, Any]:
    return {"primary": run.primary.as_dict(), "kind": run.kind}


def _lines(path: Path) -> Iterator[bytes]:
    """Unpack a file line by line, so that little is held of one that is not what it claims."""
    left = PACKED_BYTES
    with opened(path) as packed:
        file = gzip.GzipFile(fileobj=packed)
        try:
            while line := file.readline(RUN_BYTES + 1):
                left -= len(line)
                if left < 0 or len(line) > RUN_BYTES:
                    limit = PACKED_BYTES if left < 0 else RUN_BYTES
                    what = "it" if left < 0 else "a line"
                    raise DamagedRun(path, f"damaged, {what} unpacks to more than {limit:,} bytes")
                yield line
        except (OSError, EOFError, zlib.error) as error:
            raise DamagedRun(path, f"damaged, {one_line(error, 100)}") from None


def _record(path: Path, number: int, line: bytes) -> RunRecord:
    """Return the run of a line."""
    try:
        return _run(path, number, line)
    except Misshapen as error:
        raise DamagedRun(path, f"damaged, line {number}: {error}") from None


def _run(path: Path, number: int, line: bytes) -> RunRecord:
    row = object_of(line)
    if row is None:
        raise Misshapen("not a JSON object")
    check_schema(path, row)
    row = check_header(row)
    directory = path.parent / row["experiment"] / row["run_key"]
    status = _named("status", _table(row, "status"), layout.STATUS)
    if status["state"] not in STATES:
        raise Misshapen(f"state {shown(status['state'])}, not {', '.join(STATES)}")
    epochs, restarts = (
        [_named(name, each, file) for each in _rows(row, name)]
        for name, file in (("epochs", layout.EPOCHS), ("restarts", layout.RESTARTS))
    )
    try:
        primary, kind = purpose_of(row)
        thinned = row.get("thinned")
        check_run(directory, row["spec"], status, epochs, restarts, thinned=thinned is not None)
    except RecordError as error:
        raise Misshapen(str(error).removeprefix(f"{path.parent}/")) from None
    return RunRecord(
        path=directory,
        run_key=row["run_key"],
        experiment=row["experiment"],
        label=row.get("label") or row["spec"]["optimizer"]["method"],
        spec=with_absent_options(row["spec"]),
        status=status,
        primary=primary,
        kind=kind,
        environment=_named("environment", _table(row, "environment"), layout.ENVIRONMENT),
        epochs=epochs,
        restarts=restarts,
        thinned=thinned,
    )


def _named(name: str, row: dict[str, Any], file: str) -> dict[str, Any]:
    try:
        return checker(file)(row)
    except Misshapen as error:
        raise Misshapen(f"{name}: {error}") from None


def _table(row: dict[str, Any], name: str) -> dict[str, Any]:
    value = row.get(name)
    if not isinstance(value, dict):
        raise Misshapen(f"{name}: found {shown(value)}, allowed: a table")
    return value


def _rows(row: dict[str, Any], name: str) -> list[dict[str, Any]]:
    value = row.get(name)
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise Misshapen(f"{name}: found {shown(value)}, allowed: a list of tables")
    return value
