"""Copying run directories into MLflow, any number of times."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from napts.records.damage import Damage, DamagedRun
from napts.records.folder import find_headless
from napts.records.layout import SPEC
from napts.records.read import RunRecord, find_runs, load_run
from napts.records.state import STALE_AFTER_S, RunState, judge
from napts.tracking import payload
from napts.tracking.entry import Entry
from napts.tracking.import_lock import LOCK_WAIT_S, exclusive
from napts.tracking.store import (
    Store,
    TrackingUnavailable,
    checked_uri,
    lock_path,
    quiet,
    spared_by_collector,
)
from napts.tracking.sweep import finish_sweep, sweep_run

if TYPE_CHECKING:
    from mlflow.entities import Run


Progress = Callable[[int, int, str], None]
"""Called after each run directory with: directories done, directories in all, the run's name."""

_WATCHED_FILES = ("spec.json", "environment.json", "status.json", "epochs.jsonl", "restarts.jsonl")


@dataclass(frozen=True)
class SyncReport:
    """What one pass over the records did.

    Attributes:
        created: Runs that MLflow did not have, or had in a superseded form.
        updated: Runs that got new epochs, tags, files or another status.
        unchanged: Runs that were already complete.
        failed: Runs that could not be imported.
        problems: One line for each failed run.
    """

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    failed: int = 0
    problems: tuple[str, ...] = ()


@dataclass
class _Seen:
    """A run directory as the last pass found it."""

    fingerprint: tuple[tuple[int, int], ...]
    record: RunRecord
    state: RunState


@dataclass
class Importer:
    """Imports a records folder again and again, reading only what has changed.

    Args:
        records_root: A records folder.
        tracking_uri: MLflow's address; None for the SQLite store inside the folder.
        stale_after_s: Silence in seconds after which a run on another machine counts as dead.
    """

    records_root: Path
    tracking_uri: str
    stale_after_s: float = STALE_AFTER_S
    _seen: dict[Path, _Seen] = field(default_factory=dict, init=False)
    _store: Store | None = field(default=None, init=False)

    def run_pass(
        self, progress: Progress | None = None, *, lock_wait_s: float = LOCK_WAIT_S
    ) -> SyncReport:
        """Bring MLflow up to date with the records.

        Args:
            progress: Called for every run directory.
            lock_wait_s: Longest wait in seconds for another sync into the same store.

        Returns:
            What was done.

        Raises:
            TrackingUnavailable: The store does not answer; a later pass continues where this ended.
            SyncBusy: Another process kept importing into the same store.
        """
        # The experiment is the folder's name, so that copied or renamed records stay together.
        folders = [
            (name, list(paths))
            for name, paths in groupby(find_runs(self.records_root), lambda path: path.parent.name)
        ]
        lock = lock_path(self.records_root, self.tracking_uri)
        lock.parent.mkdir(parents=True, exist_ok=True)
        lost = find_headless(self.records_root)
        pass_ = _Pass(progress, total=len(lost) + sum(len(paths) for _, paths in folders))
        for path in lost:
            pass_.fail(path, DamagedRun(path / SPEC, "is missing"))
        try:
            with quiet(), exclusive(lock, lock_wait_s):
                self._store = self._store or Store(self.tracking_uri)
                with spared_by_collector():
                    for name, paths in folders:
                        self._import_folder(self._store, name, paths, pass_)
        except TrackingUnavailable:
            # What comes back may be another, empty store: compare everything anew then.
            self._store = None
            self._seen.clear()
            raise
        return pass_.report()

    def _import_folder(self, store: Store, name: str, paths: list[Path], pass_: "_Pass") -> None:
        fresh = [path for path in paths if self._refresh(path, pass_)]
        if not fresh:
            pass_.skip(len(paths) - pass_.failed_in(paths))
            return
        seen = {path: self._seen[path] for path in paths if path in self._seen}
        with store.usable():
            experiment_id = store.experiment_id(name)
            runs = store.runs(experiment_id)
            records = [item.record for item in seen.values()]
            parent = sweep_run(store, experiment_id, name, runs, records)
        copies = {identity: run for run in runs if (identity := _identity_of(run)) is not None}
        states = {identity: _state_of(run) for identity, run in copies.items()}
        for path, item in seen.items():
            identity = (item.record.run_key, payload.origin(item.record))
            states[identity] = item.state
            if path not in fresh:
                pass_.skip(1)
                continue
            entry = Entry(store, experiment_id, parent.info.run_id, item.record, item.state)
            self._import(store, path, entry, copies.get(identity), pass_)
        with store.usable():
            finish_sweep(store, parent, list(states.values()))

    def _import(
        self, store: Store, path: Path, entry: Entry, copy: "Run | None", pass_: "_Pass"
    ) -> None:
        try:
            pass_.count(entry.bring_up_to_date(copy), payload.run_name(entry.record))
        except Exception as error:
            # One bad run must not hold up the others; a silent server holds up all of them.
            store.check()
            self._seen.pop(path, None)
            pass_.fail(path, error)

    def _refresh(self, path: Path, pass_: "_Pass") -> bool:
        """Read ``path`` if it changed since the last pass; tell whether there is work to do."""
        try:
            fingerprint = _fingerprint(path)
            before = self._seen.get(path)
            changed = before is None or before.fingerprint != fingerprint
            record = load_run(path) if before is None or changed else before.record
            state = judge(path, record.status, stale_after_s=self.stale_after_s)
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._seen.pop(path, None)
            pass_.fail(path, error)
            return False
        self._seen[path] = _Seen(fingerprint, record, state)
        return changed or before is None or before.state.name != state.name


@dataclass
class _Pass:
    """Counts one pass and tells the caller how far it is."""

    progress: Progress | None
    total: int
    counts: Counter[str] = field(default_factory=Counter)
    problems: dict[Path, str] = field(default_factory=dict)

    def count(self, change: str, name: str) -> None:
        self.counts[change] += 1
        if self.progress is not None:
            self.progress(self.counts.total(), self.total, name)

    def skip(self, number: int) -> None:
        for _ in range(number):
            self.count("unchanged", "")

    def fail(self, path: Path, error: BaseException) -> None:
        self.problems[path] = str(Damage.of(path, error))
        self.count("failed", path.name)

    def failed_in(self, paths: Iterable[Path]) -> int:
        return sum(path in self.problems for path in paths)

    def report(self) -> SyncReport:
        return SyncReport(**self.counts, problems=tuple(self.problems.values()))


def sync(
    records_root: str | Path,
    tracking_uri: str | None = None,
    *,
    progress: Progress | None = None,
    lock_wait_s: float = LOCK_WAIT_S,
    stale_after_s: float = STALE_AFTER_S,
) -> SyncReport:
    """Copy run directories into MLflow; doing it again changes nothing.

    Each experiment's folder becomes an MLflow experiment with one parent run, and each run
    directory becomes a child run of it. Later calls extend runs that are still in progress, and
    runs whose process died do not stay RUNNING.

    Args:
        records_root: A records folder, an experiment in it, or one run directory.
        tracking_uri: MLflow's address; None for the SQLite store inside the folder.
        progress: Told about every run directory.
        lock_wait_s: Longest wait in seconds for another sync into the same store.
        stale_after_s: Silence in seconds after which a run of another machine counts as dead.

    Returns:
        What was done.

    Raises:
        FileNotFoundError: There is no such folder.
        TrackingUnavailable: The store does not answer.
        SyncBusy: Another process kept importing into the same store.
    """
    importer = open_importer(records_root, tracking_uri, stale_after_s=stale_after_s)
    return importer.run_pass(progress, lock_wait_s=lock_wait_s)


def open_importer(
    records_root: str | Path,
    tracking_uri: str | None = None,
    *,
    stale_after_s: float = STALE_AFTER_S,
) -> Importer:
    """Return an `Importer` for an existing records folder; arguments and errors as for `sync`."""
    root = Path(records_root)
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such records folder")
    return Importer(root.resolve(), checked_uri(tracking_uri, root), stale_after_s)


def _fingerprint(path: Path) -> tuple[tuple[int, int], ...]:
    """Return a value that changes whenever an imported file changes."""
    marks = []
    for name in _WATCHED_FILES:
        try:
            stat = (path / name).stat()
        except FileNotFoundError:
            marks.append((0, -1))
        else:
            marks.append((stat.st_mtime_ns, stat.st_size))
    return tuple(marks)


def _identity_of(run: "Run") -> tuple[str, str] | None:
    """Return what identifies a run later, or None for a run that is not a copy of a directory."""
    tags = run.data.tags
    return (tags["napts.run_key"], tags["napts.origin"]) if "napts.run_key" in tags else None


def _state_of(run: "Run") -> RunState:
    end_time = run.info.end_time
    return RunState(run.data.tags["napts.state"], end_time / 1000 if end_time else None)
