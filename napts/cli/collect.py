"""``napts sweep collect``: bring the runs of a sweep from several places into one and MLflow."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from napts.cli.shared import (
    BUSY,
    FAILED,
    IMPORTS,
    INTERRUPTED,
    JSON,
    OVERRIDES,
    RECORDS,
    TRACKING_URI,
    counted,
    fail,
    say,
)
from napts.cli.sync import print_sync, sync_counts, timed_sync
from napts.text import visible

if TYPE_CHECKING:
    from napts.experiment import RunSpec
    from napts.records import MergeReport
    from napts.tracking import SyncReport

_TOLD = ("advanced", "conflict", "problem")


@click.command()
@click.argument("sweep", type=click.Path(path_type=Path))
@click.argument("sources", type=click.Path(path_type=Path), nargs=-1, required=True)
@RECORDS
@OVERRIDES
@click.option("--track/--no-track", default=True, help="Sync MLflow afterwards.")
@TRACKING_URI
@JSON
@IMPORTS
def collect(
    sweep: Path,
    sources: tuple[Path, ...],
    records: Path,
    overrides: tuple[str, ...],
    track: bool,
    tracking_uri: str | None,
    as_json: bool,
) -> None:
    """Copy the runs of SWEEP from the records folders SOURCES into one, then sync MLflow.

    Of two copies of a run, the one that has got further is kept, so this can be repeated at any
    time, even while the runs are in progress. Finished results that contradict each other are
    named, and none of them is replaced.
    """
    specs = _runs(sweep, overrides)
    wanted = {(spec.experiment, spec.run_key) for spec in specs}
    try:
        report = _merge(sources, records, wanted)
        if not as_json:
            _print_merge(report, records, wanted)
        synced = _sync(records, tracking_uri) if track else None
    except KeyboardInterrupt:
        raise click.exceptions.Exit(INTERRUPTED) from None
    if as_json:
        click.echo(json.dumps(_as_data(report, synced, records, wanted)))
    elif synced is not None:
        click.echo("MLflow: ", nl=False)
        print_sync(synced[0], False, synced[1])
    if not report.clean or (synced is not None and synced[0].failed):
        raise click.exceptions.Exit(FAILED)


def _runs(sweep: Path, overrides: tuple[str, ...]) -> "list[RunSpec]":
    from napts.experiment import SpecError
    from napts.launch.sweepfile import load_sweep

    try:
        return load_sweep(sweep, overrides).runs()
    except SpecError as error:
        raise fail(error) from None


def _merge(sources: tuple[Path, ...], records: Path, wanted: set[tuple[str, str]]) -> "MergeReport":
    from napts.cli.progress import progress_bar
    from napts.records import MergeBusy, merge

    try:
        with progress_bar("collecting") as tell:
            return merge(sources, records, only=wanted, progress=tell)
    except MergeBusy as error:
        raise fail(error, BUSY) from None
    except (OSError, ValueError) as error:
        raise fail(error) from None


def _sync(records: Path, tracking_uri: str | None) -> "tuple[SyncReport, float]":
    from napts.tracking import SyncBusy, TrackingUnavailable

    try:
        return timed_sync(records, tracking_uri)
    except SyncBusy as error:
        raise fail(error, BUSY) from None
    except TrackingUnavailable as error:
        raise fail(f"the runs are collected, but MLflow is behind: {error}", FAILED) from None
    except (OSError, ValueError) as error:
        raise fail(error) from None


def _print_merge(report: "MergeReport", records: Path, wanted: set[tuple[str, str]]) -> None:
    click.echo(", ".join(_count(action, n) for action, n in report.counts().items()))
    missing = _missing(records, wanted)
    if missing:
        click.echo(f"{missing:,} of {len(wanted):,} runs of the sweep are still missing")
    for item in report.items:
        if item.action == "advanced":
            click.echo(visible(f"{item.path.name}: {item.detail}"))
        elif item.action in _TOLD:
            say(f"{item.action}: {item.detail}")


def _count(action: str, number: int) -> str:
    return counted(number, action) if action in ("conflict", "problem") else f"{number:,} {action}"


def _missing(records: Path, wanted: set[tuple[str, str]]) -> int:
    from napts.records.layout import SPEC, run_directory

    return sum(not (run_directory(records, *names) / SPEC).exists() for names in wanted)


def _as_data(
    report: "MergeReport",
    synced: "tuple[SyncReport, float] | None",
    records: Path,
    wanted: set[tuple[str, str]],
) -> dict[str, Any]:
    told = [
        {"path": str(item.path), "action": item.action, "detail": item.detail}
        for item in report.items
        if item.action in _TOLD
    ]
    return {
        **report.counts(),
        "missing": _missing(records, wanted),
        "planned": len(wanted),
        "told": told,
        "sync": sync_counts(*synced) if synced else None,
    }
