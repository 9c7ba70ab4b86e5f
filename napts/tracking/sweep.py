"""The parent run of an experiment: what all its runs have in common."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napts.records.read import RunRecord
from napts.records.state import RunState
from napts.tracking import payload
from napts.tracking.entry import set_status, upload
from napts.tracking.import_lock import LOCK_WAIT_S, exclusive
from napts.tracking.store import Store, default_tracking_uri, lock_path, quiet

if TYPE_CHECKING:
    from mlflow.entities import Run

SWEEP = "napts.sweep"


def sweep_run(
    store: Store, experiment_id: str, name: str, runs: list[Any], records: Iterable[RunRecord]
) -> "Run":
    """Return the parent run of an experiment, created on first use.

    Args:
        store: The open store.
        experiment_id: The experiment's id in MLflow.
        name: The experiment's name.
        runs: All runs of the experiment.
        records: The run directories of the experiment.

    Returns:
        MLflow's ``Run``.
    """
    for run in runs:
        if run.data.tags.get(SWEEP) == name:
            return run
    starts = [start for record in records if (start := payload.start_time(record)) is not None]
    return store.client.create_run(
        experiment_id,
        start_time=payload.milliseconds(min(starts)) if starts else None,
        tags={SWEEP: name, "mlflow.source.name": "napts"},
        run_name=f"sweep {name}",
    )


def finish_sweep(store: Store, parent: "Run", states: list[RunState]) -> None:
    """Give the parent run the counts and the common status of its children.

    Args:
        store: The open store.
        parent: The run that `sweep_run` returned.
        states: The state of each child.
    """
    counts = Counter(state.name for state in states)
    text = ", ".join(f"{counts[name]} {name}" for name in sorted(counts))
    if parent.data.tags.get("napts.states") != text:
        store.client.set_tag(parent.info.run_id, "napts.states", text)
    ends = [state.end_time for state in states if state.end_time is not None]
    if counts["running"] or not ends:
        common = RunState("running", None)
    elif counts.keys() <= {"done", "diverged"}:  # a method that diverges is a result
        common = RunState("done", max(ends))
    else:
        common = RunState("failed", max(ends))
    set_status(store.client, parent, common)


def attach_artifacts(
    records_root: str | Path,
    experiment: str,
    files: Iterable[str | Path],
    tracking_uri: str | None = None,
    *,
    lock_wait_s: float = LOCK_WAIT_S,
) -> bool:
    """Attach files, such as the figures made from an experiment, to the run of its sweep.

    Args:
        records_root: The records folder that was synced.
        experiment: Name of the experiment.
        files: The files.
        tracking_uri: MLflow's address; None for the SQLite store inside the folder.
        lock_wait_s: Longest wait in seconds for a sync in progress.

    Returns:
        Whether anything was sent; False when the same contents were attached before.

    Raises:
        LookupError: The experiment has not been synced.
        TrackingUnavailable: The store does not answer.
        SyncBusy: Another process kept importing into the same store.
    """
    root = Path(records_root).resolve()
    uri = tracking_uri or default_tracking_uri(root)
    with quiet(), exclusive(lock_path(root, uri), lock_wait_s):
        store = Store(uri)
        with store.usable():
            found = store.client.get_experiment_by_name(experiment)
            runs = store.runs(found.experiment_id) if found else []
        parents = [run for run in runs if run.data.tags.get(SWEEP) == experiment]
        if not parents:
            raise LookupError(f"experiment {experiment!r} is not in MLflow yet; sync it first")
        with store.usable():
            return upload(store.client, parents[0], [Path(file) for file in files])
