"""Reading run directories: the surviving rows of a run, whatever interrupted it.

A run that was killed and resumed wrote some rows twice. Each resumption names the position it
continued from (``restarts.jsonl``). Rows that an older attempt wrote beyond that position belong to
lost work and are dropped here, so that every reader sees one undisturbed run.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

from napts.records.absent_options import with_absent_options
from napts.records.damage import DamagedRun, NewerSchema, RecordError, check_run, is_superseded
from napts.records.layout import (
    ENVIRONMENT,
    EPOCHS,
    KINDS,
    RESTARTS,
    SPEC,
    STATUS,
    STEPS,
    Kind,
    kind_by_name,
)
from napts.records.metric import Metric
from napts.records.rows import read_object, read_rows
from napts.records.shape import check_header, check_schema, checker
from napts.records.step_rows import StepRecording, check_count, check_steps
from napts.text import shown

__all__ = [
    "NoRun",
    "RecordError",
    "RunRecord",
    "RunStatus",
    "find_runs",
    "load_run",
    "read_status",
]

Row = dict[str, Any]
Position = tuple[int, int]
"""Epochs finished, and steps done in the epoch after them. Epoch 0 is the first evaluation."""

_NOTHING: Position = (-1, 0)

STATES = ("running", "done", "failed", "diverged", "interrupted")
"""States in ``status.json``. A killed run also leaves "running" behind."""


ENDED_BADLY = ("failed", "diverged")
"""States of runs that ended without a result."""

ENDED = ("done", *ENDED_BADLY)
"""States of runs that have ended."""

EPOCHS_BYTES = 256 << 20
"""Largest size of ``epochs.jsonl`` and ``restarts.jsonl`` in bytes."""


class NoRun(RecordError):
    """A folder is not a run directory."""


@dataclass(frozen=True)
class RunStatus:
    """The contents of a run directory's two small files; enough to tell how far a run is.

    Attributes:
        path: The run directory.
        run_key: Name of the run, a function of its scientific settings only.
        experiment: Name of the experiment that the run belongs to.
        label: Display name of the method; its own name unless the spec sets one.
        spec: The validated spec as nested plain data.
        status: Contents of ``status.json``; a run that never wrote one is "interrupted".
        primary: The metric used to compare the run with others.
        kind: What the run is for.
    """

    path: Path
    run_key: str
    experiment: str
    label: str
    spec: dict[str, Any]
    status: dict[str, Any]
    primary: Metric
    kind: Kind

    @property
    def state(self) -> str:
        """One of `STATES`."""
        return self.status["state"]

    @property
    def epoch(self) -> int:
        """Epochs finished, according to the status."""
        return self.status.get("epoch") or 0


@dataclass(frozen=True)
class RunRecord(RunStatus):
    """One run as read from its directory, with all its rows.

    Attributes:
        environment: Contents of ``environment.json``, empty if it is missing.
        epochs: Surviving rows of ``epochs.jsonl`` in order of the epoch; row 0 is the evaluation
            before training.
        restarts: Every attempt, in order.
        thinned: Of a copy with rows that stand for several epochs, the medians over single ones;
            None for all other runs. See `napts.records.thinning`.
    """

    environment: dict[str, Any]
    epochs: list[Row]
    restarts: list[Row]
    thinned: dict[str, Any] | None = None

    @cached_property
    def steps(self) -> list[Row]:
        """Surviving rows of ``steps.jsonl`` in order, read on first use; empty if not recorded.

        Raises:
            DamagedRun: The file is damaged, or a step is missing.
        """
        steps = read_steps(self.path, self.restarts)
        check_steps(self.path, steps, self.epochs, StepRecording(self.spec, self.restarts))
        return steps

    @property
    def method(self) -> str:
        """Name of the method, for example ``"NAPTS"``."""
        return self.spec["optimizer"]["method"]

    @property
    def workload(self) -> str:
        """Name of the workload, for example ``"mnist-fcnn"``."""
        return self.spec["workload"]["name"]

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return self.spec["seed"]

    @property
    def target(self) -> dict[str, Any] | None:
        """How near the run came to its budget's target, and at what cost; None without a target."""
        return self.status.get("target")

    @property
    def ended_by(self) -> str | None:
        """The limit of the budget that ended the run, "target", or None if that is not recorded."""
        return self.status.get("ended_by")

    @property
    def final(self) -> dict[str, float] | None:
        """Losses and metrics at the end of the run, or None unless it is done."""
        return self.status.get("final")


def read_status(path: str | Path) -> RunStatus:
    """Read ``spec.json`` and ``status.json`` of a run directory and nothing else.

    Args:
        path: The run directory.

    Returns:
        Header and status; a thousand of them take a fraction of a second. Whether the rows that
        they mention exist is not checked.

    Raises:
        NoRun: The directory holds no ``spec.json``.
        NewerSchema: A file is of a later version of the format.
        DamagedRun: A file is damaged.
    """
    path = Path(path)
    return _with_status(path, read_header(path))


def _with_status(path: Path, header: dict[str, Any]) -> RunStatus:
    primary, kind = purpose_of(header)
    spec = with_absent_options(header["spec"])
    label = header.get("label") or spec["optimizer"]["method"]
    names = (header["run_key"], header["experiment"], label)
    return RunStatus(path, *names, spec, read_state(path), primary, kind)


def read_header(path: Path) -> dict[str, Any]:
    """Return the contents of ``spec.json``; arguments and errors as for `read_status`."""
    try:
        header = read_object(
            path / SPEC, lambda row: check_header(_of_known_schema(path, SPEC, row))
        )
        purpose_of(header)
    except FileNotFoundError:
        raise NoRun(f"{path}: not a run directory, it has no spec.json") from None
    except (DamagedRun, NewerSchema):
        raise
    except RecordError as error:
        raise DamagedRun(path / SPEC, str(error)) from None
    return header


def read_environment(path: Path) -> dict[str, Any]:
    """Return the contents of ``environment.json``, empty if there is none.

    Args:
        path: The run directory.

    Raises:
        NewerSchema: It is of a later version of the format.
        DamagedRun: It is damaged.
    """
    return _optional(path, ENVIRONMENT) or {}


def read_state(path: Path) -> dict[str, Any]:
    """Return the contents of ``status.json``; for a run without one, a substitute.

    Args:
        path: The run directory.

    Raises:
        NewerSchema: It is of a later version of the format.
        DamagedRun: It is damaged.
    """
    status = _optional(path, STATUS)
    if status is None:
        return dict(_INTERRUPTED)
    if status["state"] not in STATES:
        allowed = ", ".join(STATES)
        raise DamagedRun(path / STATUS, f"state {shown(status['state'])}, not {allowed}")
    return status


_INTERRUPTED: Mapping[str, Any] = {"state": "interrupted", "final": None, "error": None}


def purpose_of(header: Mapping[str, Any]) -> tuple[Metric, Kind]:
    """Return the metric used to compare a run, and what the run is for.

    Args:
        header: Contents of ``spec.json``. If they do not say, the run is from the time when all
            were compared by one metric and the experiment's name gave the kind.

    Raises:
        RecordError: An entry is wrong.
    """
    kind = header.get("kind") or kind_by_name(header["experiment"])
    if kind not in KINDS:
        raise RecordError(f"kind: found {shown(kind)}, allowed: {', '.join(KINDS)}")
    return Metric.from_header(header), cast(Kind, kind)


def load_run(path: str | Path) -> RunRecord:
    """Read one run directory, even while the run is in progress.

    Args:
        path: The run directory, the one that holds ``spec.json``.

    Returns:
        The run with superseded rows dropped.

    Raises:
        NoRun: The directory holds no ``spec.json``.
        NewerSchema: A file is of a later version of the format.
        DamagedRun: A file is damaged, or rows are missing.
    """
    path = Path(path)
    try:
        return _load(path)
    except DamagedRun:
        # What is being written, or started again, may have been seen half before and half after.
        return _load(path)


def _load(path: Path) -> RunRecord:
    contents = read_header(path)
    header, thinned = _with_status(path, contents), contents.get("thinned")
    epochs, restarts = read_epochs(path)
    status = header.status
    check_run(path, header.spec, status, epochs, restarts, thinned=thinned is not None)
    if is_superseded(status, restarts) and status["state"] in ENDED:
        status = {**status, **_INTERRUPTED}
    record = RunRecord(
        path=path,
        run_key=header.run_key,
        experiment=header.experiment,
        label=header.label,
        spec=header.spec,
        status=status,
        primary=header.primary,
        kind=header.kind,
        environment=read_environment(path),
        epochs=epochs,
        restarts=restarts,
        thinned=thinned,
    )
    _check_steps(record)
    return record


def _check_steps(record: RunRecord) -> None:
    """Check whether the steps are there; each single one only when they are read."""
    check_count(record.path, record.epochs, StepRecording(record.spec, record.restarts))
    # Void rows may hide that others are missing. A run that has ended is not looked at often.
    if len(record.restarts) > 1 and record.state in ENDED:
        _ = record.steps


def read_restarts(path: Path) -> list[Row]:
    """Return the rows of ``restarts.jsonl``.

    Args:
        path: The run directory.

    Raises:
        NewerSchema: One is of a later version of the format.
        DamagedRun: The file is damaged.
    """
    check = checker(RESTARTS)
    rows = read_rows(
        path / RESTARTS,
        lambda row: check(_of_known_schema(path, RESTARTS, row)),
        limit=EPOCHS_BYTES,
    )
    attempts = [row["attempt"] for row in rows]
    if any(later <= earlier for earlier, later in pairwise(attempts)):
        raise DamagedRun(path / RESTARTS, "its attempts do not follow one another")
    return rows


def read_epochs(path: Path) -> tuple[list[Row], list[Row]]:
    """Return the surviving rows of ``epochs.jsonl``, and those of ``restarts.jsonl``.

    Args:
        path: The run directory.

    Raises:
        NewerSchema: A row is of a later version of the format.
        DamagedRun: A file is damaged.
    """
    rows = read_rows(path / EPOCHS, checker(EPOCHS), limit=EPOCHS_BYTES)
    restarts = read_restarts(path)  # last: no row is then of an attempt that they do not know
    return surviving_epochs(rows, restarts), restarts


def read_steps(path: Path, restarts: list[Row]) -> list[Row]:
    """Return the surviving rows of ``steps.jsonl``.

    Args:
        path: The run directory.
        restarts: Rows of its ``restarts.jsonl``.

    Raises:
        DamagedRun: The file is damaged.
    """
    rows = read_rows(path / STEPS, checker(STEPS))
    return _surviving(rows, restarts, lambda row: (row["epoch"] - 1, row["step"]))


def find_runs(root: str | Path) -> list[Path]:
    """Return the run directories under ``root``, sorted by path.

    Args:
        root: A records folder, an experiment in it, or a single run directory.

    Returns:
        Paths of the directories that hold a ``spec.json``; an empty list if there are none or
        ``root`` does not exist. Names that start with a dot are not runs: tools keep things there.
    """
    root = Path(root)
    patterns = ("spec.json", "*/spec.json", "*/*/spec.json")
    found = {file.parent for pattern in patterns for file in root.glob(pattern)}
    return sorted(path for path in found if not is_hidden(path.relative_to(root)))


def is_hidden(path: Path) -> bool:
    """Tell whether a path leads through a name that starts with a dot.

    Args:
        path: The path, relative to a records folder.
    """
    return any(part.startswith(".") for part in path.parts)


def _optional(path: Path, name: str) -> dict[str, Any] | None:
    check = checker(name)
    try:
        return read_object(path / name, lambda row: check(_of_known_schema(path, name, row)))
    except FileNotFoundError:
        return None


def _of_known_schema(path: Path, name: str, row: dict[str, Any]) -> dict[str, Any]:
    check_schema(path / name, row)
    return row


def _resumed_at(restart: Row) -> Position:
    if restart.get("resumed_from_epoch") is None:
        return _NOTHING
    return restart["resumed_from_epoch"], restart.get("resumed_from_step") or 0


def surviving_epochs(rows: list[Row], restarts: list[Row]) -> list[Row]:
    """Return the rows of ``epochs.jsonl`` that no later attempt took back, in order.

    Args:
        rows: All rows.
        restarts: Rows of ``restarts.jsonl``.
    """
    return _surviving(rows, restarts, lambda row: (row["epoch"], 0))


def _surviving(
    rows: list[Row], restarts: list[Row], position: Callable[[Row], Position]
) -> list[Row]:
    """Drop the rows that a later attempt took back, and sort the rest by position."""
    resumed = [(restart["attempt"], _resumed_at(restart)) for restart in restarts]
    kept: dict[Position, Row] = {}
    for row in rows:
        where, attempt = position(row), row["attempt"]
        if any(later > attempt and where > at for later, at in resumed):
            continue
        if where not in kept or kept[where]["attempt"] <= attempt:
            kept[where] = row
    return [kept[where] for where in sorted(kept)]
