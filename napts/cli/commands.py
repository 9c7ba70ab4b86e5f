"""All commands except those of sweeps, and the group that holds them."""

import json
from pathlib import Path
from typing import Any

import click

from napts._version import __version__
from napts.cli.records import records
from napts.cli.run import (
    attach_reports,
    make_reports,
    print_outcomes,
    print_whereabouts,
    sharing,
    started_elsewhere,
    tracking,
    train,
)
from napts.cli.shared import (
    DATA_ROOT,
    FAILED,
    IMPORTS,
    INTERRUPTED,
    JSON,
    OVERRIDES,
    RECORDS,
    TRACKING_URI,
    LeftOut,
    Program,
    Seconds,
    fail,
)
from napts.cli.show import show
from napts.cli.sweep import sweep
from napts.cli.sync import print_sync, timed_sync
from napts.cli.tune import tune


@click.group(
    cls=Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="napts")
def main() -> None:
    """Train with trust-region and multilevel methods, compare them with others, and report."""


# --- run -----------------------------------------------------------------------------------------


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@OVERRIDES
@click.option(
    "--mode",
    type=click.Choice(["cached", "retry", "force"]),
    default="cached",
    show_default=True,
    help="Keep the runs that have ended; repeat failed ones; repeat everything.",
)
@RECORDS
@DATA_ROOT
@click.option("--track/--no-track", default=True, help="Log to MLflow during training.")
@TRACKING_URI
@click.option(
    "--report",
    "report_dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Also write figures, tables and the HTML report into this folder.",
)
@JSON
@IMPORTS
def run(
    file: Path,
    overrides: tuple[str, ...],
    mode: str,
    records: Path,
    data_root: Path | None,
    track: bool,
    tracking_uri: str | None,
    report_dir: Path | None,
    as_json: bool,
) -> None:
    """Train what FILE describes: one run, or a study of methods and seeds.

    An interrupted run resumes where it stopped; a finished one is not repeated.
    """
    from napts.experiment import RunSpec, SpecError, load_spec

    try:
        spec = load_spec(file, overrides)
    except SpecError as error:
        raise fail(error) from None
    specs = [spec] if isinstance(spec, RunSpec) else spec.runs()
    experiment = specs[0].experiment
    started_elsewhere(specs)
    with sharing(specs) as ranks:
        if ranks is None:
            return
        with tracking(records, tracking_uri, track):
            outcomes = train(specs, records, mode, data_root, ranks)
    # Before the report, so that they are told even where it cannot be made.
    left_out = LeftOut()
    print_outcomes(outcomes, records / experiment, as_json, left_out)
    finished = any(outcome.state == "done" for outcome in outcomes)
    files = make_reports(records, report_dir, left_out) if report_dir and finished else []
    if track and files:
        attach_reports(records, experiment, files, tracking_uri)
    if not as_json:
        print_whereabouts(records, track, tracking_uri, report_dir if files else None)
    if len(outcomes) < len(specs) or outcomes[-1].state == "interrupted":
        raise click.exceptions.Exit(INTERRUPTED)
    if left_out or any(outcome.state != "done" for outcome in outcomes):
        raise click.exceptions.Exit(FAILED)


main.add_command(sweep)
main.add_command(tune)
main.add_command(show)
main.add_command(records)


# --- MLflow --------------------------------------------------------------------------------------


@main.command()
@click.argument("records", type=click.Path(path_type=Path))
@TRACKING_URI
@click.option("--watch", "keep_watching", is_flag=True, help="Keep syncing until interrupted.")
@click.option(
    *("--interval", "interval_s"),
    type=Seconds(),
    default=5.0,
    show_default=True,
    help="Time between two syncs.",
)
@JSON
def sync(
    records: Path,
    tracking_uri: str | None,
    keep_watching: bool,
    interval_s: float,
    as_json: bool,
) -> None:
    """Copy run directories into MLflow, at any time and as often as you like."""
    from napts.tracking import SyncBusy, TrackingUnavailable

    try:
        if keep_watching:
            _watch(records, tracking_uri, interval_s, as_json)
            return
        report, seconds = timed_sync(records, tracking_uri)
    except KeyboardInterrupt:
        raise click.exceptions.Exit(INTERRUPTED) from None
    except (TrackingUnavailable, SyncBusy) as error:
        raise fail(error, FAILED) from None
    except (OSError, ValueError) as error:
        raise fail(error) from None
    print_sync(report, as_json, seconds)
    if report.failed:
        raise click.exceptions.Exit(FAILED)


def _watch(records: Path, tracking_uri: str | None, interval_s: float, as_json: bool) -> None:
    """Sync until Ctrl-C, which is the usual end and not a failure once a pass has succeeded."""
    from napts.tracking import SyncReport, watch

    passes = 0

    def tell(report: SyncReport) -> None:
        nonlocal passes
        passes += 1
        if passes == 1 or report.created or report.updated:
            print_sync(report, as_json)

    try:
        watch(records, tracking_uri, interval_s, report=tell)
    except KeyboardInterrupt:
        if not passes:
            raise click.exceptions.Exit(FAILED) from None


@main.command()
@click.argument("records", type=click.Path(path_type=Path), default=Path("records"))
@TRACKING_URI
@click.option("--port", default=5000, show_default=True, type=click.IntRange(1, 65535))
def ui(records: Path, tracking_uri: str | None, port: int) -> None:
    """Open MLflow on the synced RECORDS, on this machine's loopback address."""
    from napts.tracking import serve_ui

    try:
        code = serve_ui(records, tracking_uri, port)
    except (OSError, ValueError) as error:
        raise fail(error) from None
    raise click.exceptions.Exit(code)


# --- reports -------------------------------------------------------------------------------------


class ReportCommand(click.Command):
    """A command whose help names every report; they are looked for only then."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the names and what each report holds."""
        try:
            from napts.plotting.registry import ordered
        except ImportError:  # the extra that draws is not installed
            return
        with formatter.section("Reports"):
            formatter.write_dl([(each.name, each.description) for each in ordered()])


@main.command(cls=ReportCommand)
@click.argument("arguments", nargs=-1, metavar="[NAME...|all] RECORDS")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("out"),
    show_default=True,
    help="Folder of the figures, tables and report.html.",
)
@JSON
@IMPORTS
def report(arguments: tuple[str, ...], out: Path, as_json: bool) -> None:
    """Make reports from RECORDS: figures with their numbers, tables, the HTML page."""
    if not arguments:
        raise fail("report: found no RECORDS, allowed: [NAME...|all] RECORDS")
    *names, records = arguments
    left_out = LeftOut()
    files = make_reports(Path(records), out, left_out, names)
    click.echo(json.dumps([str(f) for f in files]) if as_json else "\n".join(map(str, files)))
    if left_out:
        raise click.exceptions.Exit(FAILED)


@main.command()
@click.argument("records", type=click.Path(path_type=Path))
@JSON
@IMPORTS
def claims(records: Path, as_json: bool) -> None:
    """Say which of the papers' claims hold in RECORDS, by tests declared beforehand."""
    from napts.analysis import load_collection
    from napts.papers.claims import claims_data, claims_tables, judge

    try:
        collection = load_collection(records)
        judgements = judge(collection)
    except (OSError, ValueError) as error:
        raise fail(error) from None
    left_out = LeftOut()
    for damage in collection.damages:
        left_out(damage)
    if as_json:
        click.echo(json.dumps(claims_data(judgements)))
    else:
        click.echo("\n\n".join(table.to_text() for table in claims_tables(judgements)))
    if left_out:
        raise click.exceptions.Exit(FAILED)


# --- data and information ------------------------------------------------------------------------


@main.group()
def data() -> None:
    """Download and verify data sets."""


@data.command()
@click.argument("name")
@DATA_ROOT
@JSON
def prepare(name: str, data_root: Path | None, as_json: bool) -> None:
    """Download the data set NAME (or that of workload NAME) if it is missing, and verify it."""
    from napts.problems import prepare as prepare_data

    try:
        prepared = prepare_data(name, data_root)
    except (OSError, ValueError) as error:
        raise fail(error) from None
    values = prepared.as_dict()
    text = json.dumps(values) if as_json else "\n".join(f"{k}: {v}" for k, v in values.items())
    click.echo(text)


@main.command()
@JSON
def info(as_json: bool) -> None:
    """Show versions, the machine, the methods and the workloads."""
    import torch

    from napts.experiment import method_names
    from napts.problems import problem_names
    from napts.records.environment import capture_environment

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    found: dict[str, Any] = capture_environment(device, data_digest="")
    del found["data_digest"], found["packages"]
    found["methods"] = list(method_names())
    found["workloads"] = list(problem_names())
    if as_json:
        click.echo(json.dumps(found))
        return
    for key, value in found.items():
        click.echo(f"{key}: {', '.join(map(str, value)) if isinstance(value, list) else value}")
