"""One run directory and its copy in MLflow: find out what is missing, and send only that."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napts.records.read import RunRecord
from napts.records.state import RunState
from napts.tracking import payload
from napts.tracking.store import Store

if TYPE_CHECKING:
    from mlflow.entities import Run

Change = Literal["created", "updated", "unchanged"]

CURSOR = "napts.cursor"
ARTIFACTS = "napts.artifacts"
PARENT = "mlflow.parentRunId"
ARTIFACT_FILES = ("spec.json", "environment.json")
ENTITIES_PER_REQUEST = 1000
"""MLflow's limit for metrics, parameters and tags in one batch."""
PARAMS_PER_REQUEST = 100
"""Its limit for parameters in one batch; there is another for tags, but no run has that many."""

Batch = tuple[list[Any], list[Any], list[Any]]
"""Metrics, parameters and tags."""

_BOOKKEEPING = (CURSOR, ARTIFACTS)


@dataclass(frozen=True)
class Cursor:
    """How much of a run MLflow already has.

    Attributes:
        rows: Epoch rows that were sent.
        digest: Fingerprint of those rows (`payload.digest_of`).
        final: Whether the final metrics were sent.
    """

    rows: int = 0
    digest: str = ""
    final: bool = False

    @classmethod
    def of(cls, tags: Mapping[str, str]) -> "Cursor | None":
        """Read the cursor from a run's tags; None for a run that was not set up completely."""
        try:
            rows, digest, final = tags[CURSOR].split(":")
            return cls(int(rows), digest, final == "final")
        except (KeyError, ValueError):
            return None

    def text(self) -> str:
        """Return the cursor as the value of a tag."""
        return f"{self.rows}:{self.digest}:{'final' if self.final else 'open'}"

    def fits(self, record: RunRecord) -> bool:
        """Tell whether what was sent still agrees with the records.

        It does not if a resumed attempt took rows back or the run was started anew.
        """
        if self.rows > len(record.epochs) or (self.final and not record.status.get("final")):
            return False
        return self.rows == 0 or payload.digest_of(record.epochs[: self.rows]) == self.digest


class Entry:
    """A run directory as a child run of a sweep in MLflow.

    Args:
        store: The open store.
        experiment_id: Experiment that the run belongs to.
        parent_id: Id of the sweep's run.
        record: The run directory as read.
        state: The state of the run.
    """

    def __init__(
        self,
        store: Store,
        experiment_id: str,
        parent_id: str,
        record: RunRecord,
        state: RunState,
    ) -> None:
        self.client = store.client
        self.experiment_id = experiment_id
        self.parent_id = parent_id
        self.record = record
        self.state = state

    def bring_up_to_date(self, known: "Run | None") -> Change:
        """Create, extend or replace the copy.

        MLflow cannot take back a metric. If rows that were sent have been superseded, the copy is
        therefore deleted and made again; tags and notes that people added are carried over.

        Args:
            known: The existing copy, if there is one.

        Returns:
            What was done.
        """
        cursor = Cursor.of(known.data.tags) if known else None
        carried: dict[str, str] = {}
        if known is not None and cursor is not None and not cursor.fits(self.record):
            carried = _added_by_people(known.data.tags)
            self.client.delete_run(known.info.run_id)
            known = None
        change: Change = "unchanged" if known else "created"
        run = known or self._create(carried)
        sent = self._send(run, cursor if known else None)
        return "updated" if change == "unchanged" and sent else change

    def _create(self, carried: dict[str, str]) -> "Run":
        start = payload.start_time(self.record) or self.record.status.get("updated")
        tags = carried | payload.run_tags(self.record, self.state.name) | {PARENT: self.parent_id}
        return self.client.create_run(
            self.experiment_id,
            start_time=payload.milliseconds(start) if start else None,
            tags=tags,
            run_name=payload.run_name(self.record),
        )

    def _send(self, run: "Run", cursor: Cursor | None) -> bool:
        """Send what is missing; tell whether anything was.

        Args:
            run: The copy.
            cursor: How much it has; None if even data that never change may be missing.
        """
        run_id = run.info.run_id
        tags = self._changed_tags(run.data.tags)
        points, after = self._pending(cursor or Cursor())
        if cursor is None:
            self._log_data_set(run_id)
        uploaded = send_files(self.client, run, self._files())
        if uploaded is not None:
            tags[ARTIFACTS] = uploaded
        if cursor != after:
            tags[CURSOR] = after.text()
        self._log(run_id, self._parameters() if cursor is None else [], points, tags)
        removed = self._remove_stale_tags(run)
        moved = self._set_status(run)
        return bool(points or tags or removed or moved)

    def _parameters(self) -> list[Any]:
        from mlflow.entities import Param

        return [Param(key, value) for key, value in payload.parameters(self.record.spec).items()]

    def _log_data_set(self, run_id: str) -> None:
        """Name the data; doing it twice is harmless."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        digest = payload.data_digest(self.record.environment)
        if digest is not None:
            name = self.record.workload
            data = Dataset(name, digest, "local", json.dumps({"workload": name}))
            inputs = [DatasetInput(data, [InputTag("mlflow.data.context", "training")])]
            self.client.log_inputs(run_id, inputs)

    def _pending(self, cursor: Cursor) -> tuple[list[payload.Point], Cursor]:
        rows = self.record.epochs
        points = [point for row in rows[cursor.rows :] for point in payload.epoch_points(row)]
        final = bool(self.record.status.get("final"))
        if final and not cursor.final:
            points += payload.final_points(self.record)
        return points, Cursor(len(rows), payload.digest_of(rows) if rows else "", final)

    def _log(
        self, run_id: str, params: list[Any], points: list[payload.Point], tags: dict[str, str]
    ) -> None:
        """Send everything in as few batches as MLflow takes, the cursor with the last metrics.

        Of one batch MLflow's stores write the tags last, so the cursor never runs ahead.
        """
        from mlflow.entities import Metric, RunTag

        # The last epoch first: MLflow compares each value with the latest it has, and would
        # otherwise replace that one again with every epoch.
        metrics = [Metric(*point) for point in reversed(points)]
        last = [RunTag(*item) for item in tags.items()]
        for some_metrics, some_params, some_tags in _batches(metrics, params, last):
            self.client.log_batch(run_id, metrics=some_metrics, params=some_params, tags=some_tags)

    def _changed_tags(self, present: Mapping[str, str]) -> dict[str, str]:
        desired = payload.run_tags(self.record, self.state.name) | {PARENT: self.parent_id}
        return {key: value for key, value in desired.items() if present.get(key) != value}

    def _remove_stale_tags(self, run: "Run") -> bool:
        """Remove our tags that no longer apply, such as the error of an earlier attempt."""
        desired = payload.run_tags(self.record, self.state.name)
        ours = [tag for tag in run.data.tags if tag.startswith("napts.")]
        stale = [tag for tag in ours if tag not in desired and tag not in _BOOKKEEPING]
        for tag in stale:
            self.client.delete_tag(run.info.run_id, tag)
        return bool(stale)

    def _files(self) -> list[Path]:
        files = [self.record.path / name for name in ARTIFACT_FILES]
        return [file for file in files if file.is_file()]

    def _set_status(self, run: "Run") -> bool:
        return set_status(self.client, run, self.state)


def upload(client: Any, run: "Run", files: Iterable[Path]) -> bool:
    """Attach files to a run, unless the same contents were attached before.

    Args:
        client: The ``MlflowClient``.
        run: The run as fetched from the store, with its tags.
        files: Files that exist.

    Returns:
        Whether anything was sent.
    """
    digest = send_files(client, run, files)
    if digest is not None:
        client.set_tag(run.info.run_id, ARTIFACTS, digest)
    return digest is not None


def send_files(client: Any, run: "Run", files: Iterable[Path]) -> str | None:
    """Attach files as `upload` does, but leave it to the caller to note that in the tags.

    Args:
        client: The ``MlflowClient``.
        run: The run as fetched from the store, with its tags.
        files: Files that exist.

    Returns:
        The value for the tag `ARTIFACTS`, or None if nothing was sent.
    """
    files = list(files)
    contents = b"\0".join(
        part for file in files for part in (file.name.encode(), file.read_bytes())
    )
    digest = hashlib.sha256(contents).hexdigest()[: payload.DIGEST_LENGTH]
    if not files or run.data.tags.get(ARTIFACTS) == digest:
        return None
    for file in files:
        client.log_artifact(run.info.run_id, str(file))
    return digest


def set_status(client: Any, run: "Run", state: RunState) -> bool:
    """Give a run the status and end time of ``state``; tell whether that changed anything."""
    status = state.mlflow_status
    if state.end_time is None:
        if run.info.status == status:
            return False
        client.update_run(run.info.run_id, status=status)
        return True
    end_time = payload.milliseconds(state.end_time)
    if run.info.status == status and run.info.end_time == end_time:
        return False
    client.set_terminated(run.info.run_id, status=status, end_time=end_time)
    return True


def _added_by_people(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags that neither napts nor MLflow set, and the note shown on the run's page."""
    return {
        key: value
        for key, value in tags.items()
        if key == "mlflow.note.content" or not key.startswith(("mlflow.", "napts."))
    }


def _batches(metrics: list[Any], params: list[Any], tags: list[Any]) -> list[Batch]:
    """Cut into batches within MLflow's limits; the tags come with the last of them."""
    batches: list[Batch] = []
    for some in _chunks(params, PARAMS_PER_REQUEST):
        room = ENTITIES_PER_REQUEST - len(some)
        batches.append((metrics[:room], some, []))
        metrics = metrics[room:]
    batches += [(some, [], []) for some in _chunks(metrics, ENTITIES_PER_REQUEST)]
    if tags and batches and sum(map(len, batches[-1])) + len(tags) <= ENTITIES_PER_REQUEST:
        some, others, _ = batches.pop()
        batches.append((some, others, tags))
    elif tags:
        batches.append(([], [], tags))
    return batches


def _chunks(items: list[Any], size: int) -> Iterable[list[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))
