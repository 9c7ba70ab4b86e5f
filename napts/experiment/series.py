"""Running several specs one after the other: a failing one does not stop the others."""

from collections.abc import Sequence
from pathlib import Path

from napts.experiment.failures import is_recorded
from napts.experiment.methods import foreign
from napts.experiment.observer import Observer, RunOutcome
from napts.experiment.runner import Mode, ended, result, run
from napts.experiment.spec.run_spec import RunSpec
from napts.parallel.ranks import ALONE, Ranks
from napts.parallel.watch import RankLost
from napts.records.files import RecordWriteError
from napts.records.layout import run_directory
from napts.records.run_lock import RunBusy


def run_all(
    specs: Sequence[RunSpec],
    records_root: str | Path,
    *,
    mode: Mode = "cached",
    data_root: str | Path | None = None,
    observer: Observer | None = None,
    ranks: Ranks = ALONE,
) -> list[RunOutcome]:
    """Train the specs in order.

    A run whose training raises is recorded as failed, and the next one begins. An interruption
    (SIGTERM, Ctrl-C) ends the series: the outcomes of the runs up to it are returned.

    Args:
        specs: The runs.
        records_root: Folder of all records.
        mode: See :func:`napts.experiment.run`.
        data_root: See :func:`napts.experiment.run`.
        observer: Watches the runs.
        ranks: The ranks that share the runs. With several, a failing run ends the series, since
            the ranks are no longer in step.

    Returns:
        How each run ended, in order; shorter than ``specs`` after an interruption.

    Raises:
        RankLost: Another rank has died or failed.
        RunBusy: Another process is running one of them.
        RecordWriteError: The records cannot be written.
        ValueError: A spec cannot be carried out here (no data, no CUDA device).
    """
    # Before the first one trains for an hour.
    foreign.check_all(
        spec.optimizer for spec in specs if mode == "force" or not _has_ended(spec, records_root)
    )
    observer = observer or Observer()
    outcomes: list[RunOutcome] = []
    for spec in specs:
        try:
            outcome = run(
                spec,
                records_root,
                mode=mode,
                data_root=data_root,
                observer=observer,
                ranks=ranks,
            )
        except (RunBusy, RecordWriteError, RankLost):
            raise
        except KeyboardInterrupt:
            break
        except Exception as error:
            if ranks.size > 1 or not is_recorded(error):
                raise
            outcome = result(_directory(spec, records_root), spec)
            observer.on_run_end(outcome)
        outcomes.append(outcome)
        if outcome.state == "interrupted":
            break
    return outcomes


def _has_ended(spec: RunSpec, records_root: str | Path) -> bool:
    """Tell whether a run has ended, well or not."""
    return ended(_directory(spec, records_root), spec) is not None


def _directory(spec: RunSpec, records_root: str | Path) -> Path:
    return run_directory(records_root, spec.experiment, spec.run_key)
