"""Bringing together records from several places, for example from a cluster and a laptop.

Of several copies of one run, the one that has got further is kept. Results that contradict each
other are reported and never replaced, so that merging can be repeated at any time and in any order.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from napts.records import layout
from napts.records.candidate import Candidate
from napts.records.damage import Damage, DamagedRun, RecordError
from napts.records.files import refuse_links
from napts.records.folder import find_headless
from napts.records.read import find_runs, read_status
from napts.records.run_lock import RunBusy, RunLock
from napts.records.transfer import copy_run, identical, recover

Action = Literal["copied", "advanced", "unchanged", "conflict", "problem"]
Progress = Callable[[int, int, str], None]
"""Called after each run with: runs done, runs in all, the run's name."""

_WORK = ".merge"
_READ_ERRORS = (OSError, ValueError, KeyError, TypeError)


class MergeBusy(RuntimeError):
    """Another process is merging into the same records folder."""


@dataclass(frozen=True)
class Merged:
    """What happened to one run.

    Attributes:
        path: Its directory in the target; for a source that cannot be used, that source.
        action: "copied": it was missing. "advanced": a copy that has got further has replaced the
            existing one. "unchanged": the existing copy is as far or further. "conflict": there is
            another finished result of the same run; nothing was replaced. "problem": it could not
            be read or written; nothing was changed.
        detail: One line for people; empty if there is nothing to say.
    """

    path: Path
    action: Action
    detail: str


@dataclass(frozen=True)
class MergeReport:
    """What a merge did.

    Attributes:
        items: What happened to each run; a run with several contradicting results has several.
    """

    items: tuple[Merged, ...]

    def of(self, action: Action) -> list[Merged]:
        """Return the runs with one outcome."""
        return [item for item in self.items if item.action == action]

    def counts(self) -> dict[str, int]:
        """Return the number of runs by outcome, including zeros."""
        return {action: len(self.of(action)) for action in get_args(Action)}

    @property
    def clean(self) -> bool:
        """Whether there were neither conflicts nor problems."""
        return not self.of("conflict") and not self.of("problem")


def merge(
    sources: Iterable[str | Path],
    target: str | Path,
    *,
    only: Collection[tuple[str, str]] | None = None,
    progress: Progress | None = None,
) -> MergeReport:
    """Copy the runs of several records folders into one; doing it again changes nothing.

    A run that the target lacks is copied with its checkpoints, so that it can resume there. Of two
    copies the further one is kept: done before diverged, failed and not ended, then by epochs and
    steps, then the one written last. A finished result is never replaced by another finished
    result. Runs that another process is writing are copied as they are; a run that is being written
    in the target is left alone. A damaged copy is never taken. If it is in the target, a good copy
    replaces it and keeps the damaged one inside.

    Args:
        sources: Records folders, experiments in them, or single run directories.
        target: The records folder to copy into; created if missing.
        only: Pairs of experiment and run key; None for all runs.
        progress: Called for every run.

    Returns:
        What happened to each run, sorted by experiment and run key.

    Raises:
        FileNotFoundError: A source does not exist.
        MergeBusy: Another process is merging into ``target``.
        OSError: ``target`` cannot be created.
        RecordError: The folder in it that merging uses is a symbolic link.
    """
    roots = [Path(source) for source in sources]
    for root in roots:
        if not root.is_dir():
            raise FileNotFoundError(f"{root}: no such records folder")
    with _alone_in(Path(target)):
        found, items = _gather(roots, Path(target), only)
        for number, (destination, copies) in enumerate(sorted(found.items()), 1):
            items += _guarded(destination, copies)
            if progress is not None:
                progress(number, len(found), destination.name)
    return MergeReport(tuple(items))


@contextmanager
def _alone_in(target: Path) -> Iterator[None]:
    folder = target / _WORK
    if folder.is_symlink():
        raise RecordError(f"{folder}: a symbolic link, nothing is written there")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with RunLock(folder):
            recover(target)
            yield
    except RunBusy as error:
        if error.directory != folder:
            raise
        raise MergeBusy(f"{target}: another process is merging into it; try again later") from None


def _gather(
    roots: list[Path], target: Path, only: Collection[tuple[str, str]] | None
) -> tuple[dict[Path, list[Candidate]], list[Merged]]:
    """Return the copies of each run by its place in the target, and what cannot be read."""
    found: dict[Path, list[Candidate]] = {}
    problems: list[Merged] = []
    keys = None if only is None else {key for _, key in only}
    for root in roots:
        for path in find_headless(root):
            if keys is None or path.name in keys:
                problems.append(_problem(path, DamagedRun(path / layout.SPEC, "is missing")))
        for path in find_runs(root):
            try:
                header = read_status(path)
                if only is not None and (header.experiment, header.run_key) not in only:
                    continue
                destination = layout.run_directory(target, header.experiment, header.run_key)
                if path.resolve() != destination.resolve():
                    found.setdefault(destination, []).append(Candidate(path, root))
            except _READ_ERRORS as error:
                # What cannot be read may be called after a run that is wanted.
                if keys is None or path.name in keys:
                    problems.append(_problem(path, error))
    return found, problems


def _guarded(destination: Path, copies: list[Candidate]) -> list[Merged]:
    try:
        try:
            return _merge_run(destination, copies)
        except FileNotFoundError:
            # A run that is going on has just rotated or removed a checkpoint.
            return _merge_run(destination, [Candidate(copy.path, copy.root) for copy in copies])
    except RunBusy as error:
        return [Merged(destination, "problem", str(error))]
    except _READ_ERRORS as error:
        return [_problem(destination, error)]


def _merge_run(destination: Path, copies: list[Candidate]) -> list[Merged]:
    refuse_links(destination.parents[1], destination)
    present, damage = _present(destination)
    news = _distinct(copies, present)
    readable, items = _readable(news)
    if damage is not None:
        return items + _replaced(destination, readable, damage)
    if not readable:
        return items or [Merged(destination, "unchanged", "")]
    best = _best(readable)
    advances = present is None or best.is_further_than(present)
    kept = best if present is None or advances else present
    conflicts = [copy for copy in readable if copy is not kept and copy.contradicts(kept)]
    items += [_conflict(destination, copy) for copy in conflicts]
    if present is None:
        copy_run(best.path, best.files, destination)
        items.append(Merged(destination, "copied", f"{best}, from {best.path}"))
    elif advances:
        detail = f"{present} -> {best}, from {best.path}"
        copy_run(best.path, best.files, destination)
        items.append(Merged(destination, "advanced", detail))
    elif not conflicts:
        items.append(Merged(destination, "unchanged", f"{present}, {best} in {best.path}"))
    return items


def _present(destination: Path) -> tuple[Candidate | None, Damage | None]:
    """Return the copy in the target, or what is wrong with it."""
    if not (destination / layout.SPEC).exists():
        lost = any((destination / name).exists() for name in (layout.STATUS, layout.EPOCHS))
        return None, Damage(destination, f"{layout.SPEC}: is missing") if lost else None
    present = Candidate(destination, destination)
    try:
        _ = present.extent
    except DamagedRun as error:
        return None, Damage.of(destination, error)
    return present, None


def _replaced(destination: Path, readable: list[Candidate], damage: Damage) -> list[Merged]:
    """Replace a damaged copy with the best one."""
    if not readable:
        return [Merged(destination, "problem", str(damage))]
    best = _best(readable)
    copy_run(best.path, best.files, destination, damaged=True)
    detail = f"damaged, {damage.what} -> {best}, from {best.path}; the damaged one is kept in it"
    conflicts = [copy for copy in readable if copy is not best and copy.contradicts(best)]
    return [
        *(_conflict(destination, copy) for copy in conflicts),
        Merged(destination, "advanced", detail),
    ]


def _best(copies: list[Candidate]) -> Candidate:
    return copies[0] if len(copies) == 1 else max(copies, key=lambda copy: copy.order)


def _distinct(copies: list[Candidate], present: Candidate | None) -> list[Candidate]:
    """Return the copies that differ from the present one and from each other."""
    different: list[Candidate] = []
    known = [present] if present else []
    for copy in copies:
        if not any(identical(copy.path, other.path, copy.files) for other in known):
            different.append(copy)
            known.append(copy)
    return different


def _readable(copies: list[Candidate]) -> tuple[list[Candidate], list[Merged]]:
    good: list[Candidate] = []
    problems: list[Merged] = []
    for copy in copies:
        try:
            _ = copy.extent
        except _READ_ERRORS as error:
            problems.append(_problem(copy.path, error))
        else:
            good.append(copy)
    return good, problems


def _conflict(destination: Path, copy: Candidate) -> Merged:
    detail = f"{copy.path}: another result of the same run, the one in {destination.parent} is kept"
    return Merged(destination, "conflict", detail)


def _problem(path: Path, error: BaseException) -> Merged:
    text = str(error) or type(error).__name__
    return Merged(path, "problem", text if str(path) in text else f"{path}: {text}")
