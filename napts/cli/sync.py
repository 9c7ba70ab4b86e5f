"""Syncing into MLflow as the commands do it: with a bar, timed, and reported in one line."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from napts.cli.shared import say

if TYPE_CHECKING:
    from napts.tracking import SyncReport

_COUNTS = ("created", "updated", "unchanged", "failed")


def timed_sync(records: Path, tracking_uri: str | None) -> "tuple[SyncReport, float]":
    """Sync with a bar on the terminal.

    Args:
        records: The records folder.
        tracking_uri: MLflow's address; None for the SQLite store inside the folder.

    Returns:
        What it did, and the wall time in seconds.

    Raises:
        FileNotFoundError: There is no such folder.
        TrackingUnavailable: The store does not answer.
        SyncBusy: Another process kept importing into the same store.
    """
    from napts.cli.progress import progress_bar
    from napts.tracking import sync

    start = time.perf_counter()
    with progress_bar("syncing") as tell:
        report = sync(records, tracking_uri, progress=tell)
    return report, time.perf_counter() - start


def sync_counts(report: "SyncReport", seconds: float | None = None) -> dict[str, Any]:
    """Return a report as plain data for ``--json``.

    Args:
        report: What a sync did.
        seconds: How long it took, if that is known.
    """
    counts: dict[str, Any] = {name: getattr(report, name) for name in _COUNTS}
    counts["problems"] = list(report.problems)
    return counts if seconds is None else {**counts, "seconds": round(seconds, 3)}


def print_sync(report: "SyncReport", as_json: bool, seconds: float | None = None) -> None:
    """Print the counts, and on standard error a line for each run that could not be imported.

    Args:
        report: What a sync did.
        as_json: Print one JSON object instead.
        seconds: How long it took, if that should be printed.
    """
    from napts.cli.progress import rate

    if as_json:
        click.echo(json.dumps(sync_counts(report, seconds)))
        return
    counts = [getattr(report, name) for name in _COUNTS]
    text = ", ".join(f"{number:,} {name}" for number, name in zip(counts, _COUNTS, strict=True))
    click.echo(text if seconds is None else f"{text} in {rate(sum(counts), seconds)}")
    for problem in report.problems:
        say(problem)
