"""Reading run directories: the surviving rows of a run, whatever interrupted it.

A run that was killed and resumed wrote some rows twice. Each resumption names the position it
continued from (``restarts.jsonl``); rows that an older attempt wrote beyond that position belong to
work that was lost, and are dropped here, so that every reader sees one undisturbed run.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from napts.records.absent_options import with_absent_options
from napts.records.layout import KINDS, Kind, kind_by_name
from napts.records.metric import Metric
from napts.records.rows import RecordError, read_object, read_rows

__all__ = ["RecordError", "RunRecord", "RunStatus", "find_runs", "load_run", "read_status"]

Row = dict[str, Any]
Position = tuple[int, int]
"""Epochs finished, and steps done in the epoch after them. Epoch 0 is the first evaluation."""

_NOTHING: Position = (-1, 0)

STATES = ("running", "done", "failed", "diverged", "interrupted")
"""What ``status.json`` may say. "running" is also what a killed run left behind."""


ENDED_BADLY = ("failed", "diverged")
"""States of runs that ended without a result."""

ENDED = ("done", *ENDED_BADLY)
"""States of runs that have ended."""


@dataclass(frozen=True)
class RunStatus:
    """What the two small files of a run directory say; enough to tell how far a run is.

    Attributes:
        path: The run directory.
        run_key: Name of the run, a function of its scientific settings only.
        experiment: Name of the experiment that the run belongs to.
        label: Name of the method for people; the method's own name unless the spec says otherwise.
        spec: The validated spec as nested plain data.
        status: Contents of ``status.json``; a run that never wrote one is "interrupted".
        primary: The metric by which the run is compared with others.
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
        """Epochs finished, as the status says."""
        return self.status.get("epoch") or 0


@dataclass(frozen=True)
class RunRecord(RunStatus):
    """One run as its directory tells it, with all its rows.

    Attributes:
        environment: Contents of ``environment.json``, empty where it is missing.
        epochs: Surviving rows of ``epochs.jsonl`` in order of the epoch; row 0 is the evaluation
            before training.
        restarts: Every attempt, in order.
    """

    environment: dict[str, Any]
    epochs: list[Row]
    restarts: list[Row]

    @cached_property
    def steps(self) -> list[Row]:
        """Surviving rows of ``steps.jsonl`` in order, read on first use; empty if not recorded."""
        rows = read_rows(self.path / "steps.jsonl")
        return _surviving(rows, self.restarts, lambda row: (row["epoch"] - 1, row["step"]))

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
        """How near the run came to the target of its budget and what that cost; None without."""
        return self.status.get("target")

    @property
    def ended_by(self) -> str | None:
        """The limit of the budget that ended the run, "target", or None where nobody said."""
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
        Header and status; a thousand of them take a fraction of a second.

    Raises:
        RecordError: The directory holds no readable ``spec.json``, or ``status.json`` is damaged.
    """
    path = Path(path)
    try:
        header = read_object(path / "spec.json")
    except FileNotFoundError:
        raise RecordError(f"{path}: not a run directory, it has no spec.json") from None
    try:
        spec, run_key, experiment = header["spec"], header["run_key"], header["experiment"]
        label = header.get("label") or spec["optimizer"]["method"]
        spec = with_absent_options(spec)
    except (KeyError, TypeError) as error:
        raise RecordError(f"{path / 'spec.json'}: incomplete, {error} is missing") from None
    try:
        primary, kind = purpose_of(header)
    except RecordError as error:
        raise RecordError(f"{path / 'spec.json'}: {error}") from None
    return RunStatus(path, run_key, experiment, label, spec, _status(path), primary, kind)


def purpose_of(header: Mapping[str, Any]) -> tuple[Metric, Kind]:
    """Return by what metric a run is compared and what it is for.

    Args:
        header: Contents of ``spec.json``. Where they do not say, it is a run of the time when all
            were compared by one metric and the experiment's name told the kind.

    Raises:
        RecordError: What is said is wrong.
    """
    kind = header.get("kind") or kind_by_name(header["experiment"])
    if kind not in KINDS:
        raise RecordError(f"kind: found {kind!r}, allowed: {', '.join(KINDS)}")
    return Metric.from_header(header), cast(Kind, kind)


def load_run(path: str | Path) -> RunRecord:
    """Read one run directory, also while the run is going.

    Args:
        path: The run directory, the one that holds ``spec.json``.

    Returns:
        The run with superseded rows dropped.

    Raises:
        RecordError: The directory holds no readable ``spec.json``, or another file is damaged.
    """
    path = Path(path)
    header = read_status(path)
    restarts = read_rows(path / "restarts.jsonl")
    epochs = read_rows(path / "epochs.jsonl")
    return RunRecord(
        path=path,
        run_key=header.run_key,
        experiment=header.experiment,
        label=header.label,
        spec=header.spec,
        status=header.status,
        primary=header.primary,
        kind=header.kind,
        environment=_optional(path / "environment.json"),
        epochs=_surviving(epochs, restarts, lambda row: (row["epoch"], 0)),
        restarts=restarts,
    )


def find_runs(root: str | Path) -> list[Path]:
    """Return the run directories under ``root``, sorted by path.

    Args:
        root: A records folder, an experiment in it, or a single run directory.

    Returns:
        Paths of the directories that hold a ``spec.json``; an empty list if there are none or
        ``root`` does not exist. Names that start with a dot are no runs: tools keep things there.
    """
    root = Path(root)
    patterns = ("spec.json", "*/spec.json", "*/*/spec.json")
    found = {file.parent for pattern in patterns for file in root.glob(pattern)}
    return sorted(path for path in found if not _is_hidden(path.relative_to(root)))


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _optional(path: Path) -> dict[str, Any]:
    try:
        return read_object(path)
    except FileNotFoundError:
        return {}


def _status(path: Path) -> dict[str, Any]:
    status = _optional(path / "status.json")
    if status and status.get("state") not in STATES:
        allowed = ", ".join(STATES)
        raise RecordError(f"{path / 'status.json'}: state {status.get('state')!r}, not {allowed}")
    return status or {"state": "interrupted", "final": None, "error": None}


def _resumed_at(restart: Row) -> Position:
    if restart.get("resumed_from_epoch") is None:
        return _NOTHING
    return restart["resumed_from_epoch"], restart.get("resumed_from_step") or 0


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
