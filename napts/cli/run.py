"""What ``napts run`` and ``napts report`` do between parsing and exit."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from napts.cli.shared import BUSY, FAILED, LeftOut, fail, say
from napts.extras import MissingExtra, need

if TYPE_CHECKING:
    from napts.experiment import RunOutcome, RunSpec
    from napts.parallel.ranks import Ranks


@contextmanager
def tracking(records: Path, tracking_uri: str | None, track: bool) -> Iterator[None]:
    """Run the MLflow importer beside the training, if wanted.

    Args:
        records: The records folder.
        tracking_uri: MLflow's address; None for the SQLite store inside the folder.
        track: Whether it is wanted.

    Yields:
        Nothing.
    """
    if not track or _without_mlflow():
        yield
        return
    from napts.tracking import start_watcher

    try:
        watcher = start_watcher(records, tracking_uri)
    except (OSError, ValueError) as error:
        raise fail(error) from None
    try:
        yield
    finally:
        behind = watcher.finish()
        if behind:
            say(behind)


def _without_mlflow() -> bool:
    """Return whether MLflow is missing, and say so; the records are complete without it."""
    try:
        need("mlflow")
    except MissingExtra as error:
        say(f"nothing is logged to MLflow: {error}")
        return True
    return False


def started_elsewhere(specs: Sequence["RunSpec"]) -> None:
    """Start the ranks that the specs ask for, unless this process is one of them.

    Args:
        specs: The runs.

    Raises:
        Exit: The ranks have ended; with the exit code of the first.
    """
    from napts.parallel.launch import start_ranks
    from napts.parallel.ranks import ranks_in

    count = max(spec.execution.ranks for spec in specs)
    if count > 1 and ranks_in() == 1:
        raise click.exceptions.Exit(start_ranks(count, "napts.cli", sys.argv[1:]))


@contextmanager
def sharing(specs: Sequence["RunSpec"]) -> Iterator["Ranks | None"]:
    """Join the other ranks, if there are any.

    Args:
        specs: The runs.

    Yields:
        The ranks, on the first or only one. None on the others, which by then have trained along
        until nothing was left to do.
    """
    from napts.experiment.followers import joined
    from napts.parallel.watch import RankLost

    try:
        with joined(specs) as ranks:
            yield ranks
    except RankLost as error:
        raise fail(error, FAILED) from None


def train(
    specs: Sequence["RunSpec"],
    records: Path,
    mode: Any,
    data_root: Path | None,
    ranks: "Ranks",
) -> list["RunOutcome"]:
    """Train the specs and show their progress; arguments as for `napts.experiment.run_all`.

    Returns:
        How each run ended; shorter than ``specs`` after an interruption.
    """
    from napts.console import ConsoleObserver
    from napts.experiment import run_all
    from napts.records.files import RecordWriteError
    from napts.records.run_lock import RunBusy

    try:
        with ConsoleObserver(len(specs)) as observer:
            return run_all(
                specs, records, mode=mode, data_root=data_root, observer=observer, ranks=ranks
            )
    except RunBusy as error:
        raise fail(error, BUSY) from None
    except RecordWriteError as error:
        raise fail(error, FAILED) from None
    except (OSError, ValueError) as error:  # a failure of the training itself is recorded instead
        raise fail(error) from None


def print_outcomes(
    outcomes: Sequence["RunOutcome"], folder: Path, as_json: bool, left_out: LeftOut
) -> None:
    """Print how the runs ended: JSON, or the tables of a study.

    Args:
        outcomes: The runs.
        folder: Folder of their experiment.
        as_json: Whether to print JSON, for scripts.
        left_out: Called for each run in the folder that the tables leave out.
    """
    if not as_json:
        if len(outcomes) > 1:
            _print_tables(folder, left_out)
        return
    rows = [
        {
            "run_key": o.run_key,
            "label": o.label,
            "state": o.state,
            "ran": o.ran,
            "path": str(o.path),
            "final": dict(o.final) if o.final else None,
            "error": o.error,
            "ended_by": o.ended_by,
            "target": dict(o.target) if o.target else None,
        }
        for o in outcomes
    ]
    click.echo(json.dumps(rows, indent=2))


def _print_tables(folder: Path, left_out: LeftOut) -> None:
    from napts.analysis import comparison_tables, load_collection

    try:
        collection = load_collection(folder)
    except (OSError, ValueError) as error:
        # The runs have ended and are recorded; a damaged neighbour must not hide that.
        say(f"no tables: {error}")
        return
    for damage in collection.damages:
        left_out(damage)
    for section in collection.sections:
        for table in comparison_tables(section.runs):
            click.echo(f"\n{table.to_text()}")


def print_whereabouts(
    records: Path, track: bool, tracking_uri: str | None, report_dir: Path | None
) -> None:
    """Print where the results are, and how to look at them.

    Args:
        records: The records folder.
        track: Whether they are in MLflow.
        tracking_uri: MLflow's address, unless it is the default.
        report_dir: Folder of the report, if one was made.
    """
    click.echo(f"\nRecords:  {records}")
    if report_dir:
        click.echo(f"Report:   {report_dir / 'report.html'}")
    if track:
        program = Path(sys.argv[0])
        name = str(program) if program.parent.name == "bin" else "napts"
        address = f" --tracking-uri {tracking_uri}" if tracking_uri else ""
        click.echo(f"MLflow:   {name} ui {records}{address}")


def make_reports(
    records: Path, out: Path, left_out: LeftOut, names: Sequence[str] = ()
) -> list[Path]:
    """Write reports and return their files.

    Args:
        records: The records folder.
        out: Folder of the results.
        left_out: Called for each run that the reports leave out.
        names: Which reports; empty for all.
    """
    from napts.plotting import render

    wanted = "all" if not names or "all" in names else list(names)
    try:
        return render(wanted, records, out, tell=left_out)
    except OSError as error:
        inside = error.filename is None or Path(str(error.filename)).is_relative_to(out)
        raise fail(f"{out if inside else error.filename}: {error.strerror or error}") from None
    except ValueError as error:
        raise fail(error) from None


def attach_reports(records: Path, experiment: str, files: list[Path], uri: str | None) -> None:
    """Put the files of a report into MLflow; if that fails, say so and continue.

    Args:
        records: The records folder.
        experiment: Name of the experiment.
        files: The report's files.
        uri: MLflow's address; None for the SQLite store inside the folder.
    """
    from napts.tracking import SyncBusy, TrackingUnavailable, attach_artifacts

    try:
        attach_artifacts(records, experiment, files, uri)
    except (LookupError, TrackingUnavailable, SyncBusy) as error:
        say(f"the report could not be attached in MLflow: {error}")
