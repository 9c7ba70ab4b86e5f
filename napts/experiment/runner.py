"""Running a spec: whether there is anything to do, where to begin, and how it ended."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from napts.exits import contained
from napts.experiment.checkpoint import has_checkpoints, remove_checkpoints
from napts.experiment.failures import (
    error_line,
    is_own_fault,
    mark_recorded,
    record_setup_failure,
)
from napts.experiment.followers import announce, threads
from napts.experiment.observer import Observer, RunOutcome
from napts.experiment.packages import changed_packages, foreign_packages
from napts.experiment.setup import Setup
from napts.experiment.signals import StopRequest
from napts.experiment.spec.run_spec import RunSpec
from napts.experiment.start import DataChanged, start_of
from napts.experiment.trainer import Diverged, Interrupted, Trainer
from napts.parallel.ranks import ALONE, Ranks, join_ranks
from napts.records.damage import DamagedRun
from napts.records.environment import capture_environment
from napts.records.files import RecordWriteError, refuse_links
from napts.records.held import held
from napts.records.layout import TRACEBACK, run_directory
from napts.records.read import ENDED, NoRun, RunRecord, load_run, read_environment
from napts.records.write import RunWriter
from napts.text import one_line

Mode = Literal["cached", "retry", "force"]
MODES: tuple[Mode, ...] = ("cached", "retry", "force")


def run(
    spec: RunSpec,
    records_root: str | Path,
    *,
    mode: Mode = "cached",
    data_root: str | Path | None = None,
    observer: Observer | None = None,
    ranks: Ranks = ALONE,
) -> RunOutcome:
    """Train one run, unless it has ended already.

    A killed run resumes from its last checkpoint and, on the CPU, ends bit-identical to one that
    was not killed. SIGTERM and Ctrl-C end it after the current step with a checkpoint and the state
    "interrupted"; a caller that runs several specs should check the outcome's state.

    A run whose records are damaged has not ended, whatever they say. It resumes from its checkpoint
    if all rows before that exist; otherwise it starts anew. The observer is told, and unusable
    files are kept in a folder ``.damaged-N`` in the run directory.

    Args:
        spec: The run.
        records_root: Folder of all records.
        mode: "cached" keeps runs that are done, failed or diverged, and resumes the rest; "retry"
            also starts failed and diverged runs again from scratch; "force" starts everything
            again from scratch. A full disk interrupts a run but does not make it fail.
        data_root: Folder of the data sets; None means the one in NAPTS_DATA, else the cache.
        observer: Watches the run.
        ranks: The ranks that share the run. This one leads; the others are in `follow`.

    Returns:
        How the run ended.

    Raises:
        RankLost: Another rank has died, and the run can be resumed; or another rank has failed.
        RunBusy: Another process is running it.
        DataMissing: The data set is not there; nothing was recorded.
        NewerSchema: A later version has written its records; nothing was touched.
        RecordError: The run directory is a symbolic link or holds one; nothing was written.
        ValueError: The spec cannot be carried out here; nothing was recorded.
        RecordWriteError: The records cannot be written; the run can be resumed.
        Exception: Whatever training raised, or the user's code before it. It has been recorded as
            "failed", with its traceback.
    """
    if mode not in MODES:
        raise ValueError(f"mode: found {mode!r}, allowed: {', '.join(MODES)}")
    observer = observer or Observer()
    directory = run_directory(records_root, spec.experiment, spec.run_key)
    refuse_links(Path(records_root), directory)
    # Without touching anything, so that finished records may be read-only.
    known = ended(directory, spec)
    if mode != "force":
        _compare_packages(directory, spec, observer)
    if known is not None and mode != "force" and spec.execution.data == "exact":
        _compare_data(directory, spec, data_root)
    if mode == "cached" and known is not None and not has_checkpoints(directory):
        observer.on_run_end(known)
        return known
    with (
        held(directory),
        threads(spec.execution.threads),
        StopRequest() as stop,
        _group(spec, ranks) as ranks,
    ):
        outcome = _run_locked(spec, directory, mode, data_root, observer, stop, ranks)
    observer.on_run_end(outcome)
    return outcome


def _compare_packages(directory: Path, spec: RunSpec, observer: Observer) -> None:
    """Report that a run was begun with other package versions; refuse it if asked to."""
    changed = changed_packages(directory, spec)
    if changed is None:
        return
    if spec.execution.packages == "exact":
        raise ValueError(
            f"{spec.run_key}: found {changed}; allowed: the same versions, mode force, "
            'or execution.packages = "any"'
        )
    observer.on_notice(f"{spec.run_key}: {changed}")


def _compare_data(directory: Path, spec: RunSpec, data_root: str | Path | None) -> None:
    """Refuse a run that has ended if its data have changed since."""
    then = read_environment(directory).get("data_digest")
    with contained:
        now = spec.workload.build().load(data_root, dtype=spec.dtype).digest
    if then is not None and then != now:
        raise DataChanged(
            f"{spec.run_key}: found data with digest {now}, but the run was done with {then}; "
            'allowed: the same data, mode force, or execution.data = "any"'
        )


def _run_locked(
    spec: RunSpec,
    directory: Path,
    mode: Mode,
    data_root: str | Path | None,
    observer: Observer,
    stop: StopRequest,
    ranks: Ranks,
) -> RunOutcome:
    known = ended(directory, spec)  # again: another process may just have ended it
    if known is not None and (mode == "cached" or (mode == "retry" and known.state == "done")):
        if known.state != "failed":
            remove_checkpoints(directory)  # a kill may have come between the end and the clearing
        return known
    with _recording_failure(spec, directory, ranks), contained:
        setup = Setup.of(spec, None if data_root is None else Path(data_root), ranks)
        start = start_of(setup, directory, mode, None if known is None else known.state)
    environment = capture_environment(
        setup.device, setup.splits.digest, packages=foreign_packages(spec)
    )
    environment["ranks"] = ranks.size
    (directory / TRACEBACK).unlink(missing_ok=True)
    if start.notice is not None:
        observer.on_notice(f"{spec.run_key}: {start.notice}")
    recorded = spec.execution.record_steps
    writer = RunWriter(directory, spec.budget.epochs, record_steps=recorded)
    try:
        writer.begin(
            spec.header(), environment, resumed_from=start.resumed_from, reason=start.reason
        )
        trainer = Trainer(
            setup, writer, start.progress, start.times, observer, lambda: stop.signal_name
        )
        if spec.shared:
            announce(ranks, spec, data_root, start.state)
        return _attempt(trainer, writer)
    finally:
        writer.close()


@contextlib.contextmanager
def _recording_failure(spec: RunSpec, directory: Path, ranks: Ranks) -> Iterator[None]:
    """Record an error in the user's code before training as a failure of the run."""
    try:
        yield
    except Exception as error:
        lost = isinstance(error, RuntimeError) and ranks.lost(error) is not None
        if not lost and is_own_fault(error, spec):
            record_setup_failure(spec, directory, error)
            mark_recorded(error)
        raise


def _attempt(trainer: Trainer, writer: RunWriter) -> RunOutcome:
    """Train, and record in the status how it ended."""
    final, error = None, None
    try:
        final = trainer.train()
        state = "done"
    except Diverged as reason:
        state, error = "diverged", str(reason)
    except Interrupted as reason:
        state, error = "interrupted", str(reason)
    except RuntimeError as reason:
        lost = trainer.setup.ranks.lost(reason)
        with contextlib.suppress(OSError):
            trainer.flush()
            state = "interrupted" if lost and not lost.failed else "failed"
            writer.status(state, trainer.progress.finished, error=error_line(lost or reason))
            if lost is None:
                mark_recorded(reason)
                writer.keep_traceback(reason)
        if lost is None:
            raise
        raise lost from reason
    except (KeyboardInterrupt, SystemExit, GeneratorExit, RecordWriteError) as reason:
        with contextlib.suppress(OSError):
            # An epoch may have ended whose row could not be written.
            finished = min(trainer.progress.finished, writer.finished)
            writer.status("interrupted", finished, error=error_line(reason))
        raise
    except Exception as reason:
        with contextlib.suppress(OSError):
            trainer.flush()
            writer.status("failed", trainer.progress.finished, error=error_line(reason))
            mark_recorded(reason)
            writer.keep_traceback(reason)
        raise
    writer.sync()
    progress = trainer.progress
    writer.status(
        state,
        progress.finished,
        final=final,
        error=error,
        ended_by=progress.ended_by if state == "done" else None,
        target=progress.target,
    )
    if state != "interrupted":
        remove_checkpoints(writer.directory)
    return result(writer.directory, trainer.setup.spec)


def result(directory: Path, spec: RunSpec) -> RunOutcome:
    """Return how a run has just ended.

    Args:
        directory: The run directory.
        spec: The run.
    """
    try:
        return _outcome(load_run(directory), spec, ran=True)
    except DamagedRun as error:
        # Somebody has changed its files while it trained; it is no result, and done anew next time.
        return RunOutcome(
            path=directory,
            run_key=spec.run_key,
            label=spec.display_label,
            state="failed",
            final=None,
            error=one_line(f"its records were damaged in the meantime: {error}"),
            ran=True,
            metric=spec.primary,
        )


def ended(directory: Path, spec: RunSpec) -> RunOutcome | None:
    """Return how the run has ended, or None if it has not, or its records are damaged.

    Args:
        directory: The run directory.
        spec: The run.

    Raises:
        NewerSchema: A later version has written its records.
    """
    try:
        record = load_run(directory)
    except (NoRun, DamagedRun):
        return None
    return _outcome(record, spec, ran=False) if record.state in ENDED else None


def _outcome(record: RunRecord, spec: RunSpec, *, ran: bool) -> RunOutcome:
    status = record.status
    return RunOutcome(
        path=record.path,
        run_key=spec.run_key,
        label=spec.display_label,
        state=status["state"],
        final=status.get("final"),
        error=status.get("error"),
        ran=ran,
        target=status.get("target"),
        metric=spec.primary,
        ended_by=status.get("ended_by"),
    )


@contextlib.contextmanager
def _group(spec: RunSpec, ranks: Ranks) -> Iterator[Ranks]:
    """Form a group of one if ranks may share the run and this process has no group."""
    if not spec.shared or ranks.size > 1:
        yield ranks
        return
    with join_ranks(spec.execution.torch_device(), alone=True) as ranks:
        yield ranks
