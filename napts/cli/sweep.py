"""``napts sweep``: plan, submit, watch, cancel and collect many runs."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from napts.cli.collect import collect
from napts.cli.shared import (
    BUSY,
    DATA_ROOT,
    FAILED,
    IMPORTS,
    INTERRUPTED,
    JSON,
    OVERRIDES,
    RECORDS,
    Seconds,
    counted,
    fail,
)

if TYPE_CHECKING:
    from rich.table import Table

    from napts.launch.cluster import Cluster
    from napts.launch.plan import Plan
    from napts.launch.submit import Submitter
    from napts.launch.sweepfile import Sweep

_SWEEP = click.argument("file", type=click.Path(path_type=Path), metavar="SWEEP")
_CLUSTER = click.option(
    "--cluster",
    "cluster_file",
    type=click.Path(path_type=Path),
    help="Profile of the cluster, as in slurm/clusters; by default this machine.",
)


@click.group()
def sweep() -> None:
    """Many runs from one file: on this machine, or on Slurm."""


sweep.add_command(collect)


@sweep.command()
@_SWEEP
@_CLUSTER
@RECORDS
@OVERRIDES
@click.option("--retry-failed", is_flag=True, help="Count failed and diverged runs as still to do.")
@click.option(
    "--check", is_flag=True, help="Import the optimizers that runs name, and check their arguments."
)
@JSON
@IMPORTS
def plan(
    file: Path,
    cluster_file: Path | None,
    records: Path,
    overrides: tuple[str, ...],
    retry_failed: bool,
    check: bool,
    as_json: bool,
) -> None:
    """Say which runs are done, running, queued, failed and missing; change nothing."""
    found = _load(file, overrides)
    submitter = new_submitter(load_profile(cluster_file), records, retry_failed=retry_failed)
    seen = _look(submitter, found)
    if check:
        _check(seen)
    if as_json:
        from napts.launch.status import as_data

        click.echo(json.dumps(as_data(seen)))
        _tell_damaged(seen)
        return
    counts = seen.counts()
    click.echo(f"{counted(len(seen.runs), 'run')}: {_counted(counts)}")
    left = seen.left(retry_failed=retry_failed)
    click.echo(f"left to submit: {len(left):,}")
    if cluster_file is not None:
        for array in submitter.arrays(seen):
            click.echo(f"  {counted(len(array.jobs), 'job')} of {array.shape}")
    _tell_damaged(seen)


@sweep.command()
@_SWEEP
@_CLUSTER
@RECORDS
@DATA_ROOT
@OVERRIDES
@click.option("--retry-failed", is_flag=True, help="Repeat failed and diverged runs.")
@click.option("--allow-dirty", is_flag=True, help="Let jobs run uncommitted code; it is recorded.")
@click.option("--dry-run", is_flag=True, help="Show what would be submitted; change nothing.")
@JSON
@IMPORTS
def submit(
    file: Path,
    cluster_file: Path | None,
    records: Path,
    data_root: Path | None,
    overrides: tuple[str, ...],
    retry_failed: bool,
    allow_dirty: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Submit the runs of SWEEP that are neither done nor already submitted.

    A local cluster runs them in the foreground.
    """
    from napts.launch.cluster import LocalCluster

    found = _load(file, overrides)
    cluster = load_profile(cluster_file)
    submitter = new_submitter(
        cluster,
        records,
        data_root=data_root,
        retry_failed=retry_failed,
        allow_dirty=allow_dirty,
    )
    if dry_run:
        _show(submitter, found, is_local=isinstance(cluster, LocalCluster))
        return
    submission = submit_sweep(submitter, found)
    jobs = [{"job": job.job_id, "runs": list(job.run_keys)} for job in submission.jobs]
    if as_json:
        click.echo(json.dumps({"submitted": jobs, "counts": submission.plan.counts()}))
    elif not submission.arrays:
        click.echo(f"nothing to submit: {_counted(submission.plan.counts())}")
    elif not isinstance(cluster, LocalCluster):
        runs = sum(len(job["runs"]) for job in jobs)
        made = f"{counted(len(jobs), 'job')}, {counted(len(submission.arrays), 'array')}"
        click.echo(f"submitted {counted(runs, 'run')}: {made}")
    if submission.stopped:
        raise click.exceptions.Exit(INTERRUPTED)
    if any(submission.codes):
        raise click.exceptions.Exit(FAILED)


@sweep.command()
@_SWEEP
@RECORDS
@OVERRIDES
@click.option("--watch", is_flag=True, help="Refresh until all runs have ended, or until Ctrl-C.")
@click.option(
    *("--interval", "interval_s"),
    type=Seconds(),
    default=2.0,
    show_default=True,
    help="Time between two refreshes.",
)
@JSON
@IMPORTS
def status(
    file: Path,
    records: Path,
    overrides: tuple[str, ...],
    watch: bool,
    interval_s: float,
    as_json: bool,
) -> None:
    """Show how far the runs are, from their records and, if Slurm answers, its queue."""
    from napts.launch.status import as_data

    found = _load(file, overrides)
    seen = _seen(found, records)
    if as_json:
        click.echo(json.dumps(as_data(seen)))
    elif watch:
        seen = _watch(found, records, interval_s)
    else:
        _print(seen)
    _tell_damaged(seen)
    if seen.counts()["failed"] and not as_json:
        raise click.exceptions.Exit(FAILED)


def _tell_damaged(seen: "Plan") -> None:
    """Name the runs whose records are damaged; the command then ends as failed."""
    from napts.records import Damage

    damaged = [run for run in seen.runs if run.state == "damaged"]
    for run in damaged:
        click.echo(f"napts: damaged: {Damage(run.path, run.error or '')}", err=True)
    if damaged:
        raise click.exceptions.Exit(FAILED)


@sweep.command()
@_SWEEP
@RECORDS
@OVERRIDES
@JSON
@IMPORTS
def cancel(file: Path, records: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """End the waiting and running jobs of SWEEP, and no others; their runs can be resumed."""
    from napts.launch.local import cancel_local
    from napts.launch.submitted import SubmittedJobs

    submitted = SubmittedJobs(records, _load(file, overrides).experiment)
    try:
        jobs = submitted.jobs()
    except (OSError, ValueError) as error:
        raise fail(error) from None
    ended = cancel_local(jobs)
    if any(job.kind == "slurm" for job in jobs):
        from napts.launch.slurm import SlurmUnavailable
        from napts.launch.slurm import cancel as cancel_slurm

        try:
            ended += cancel_slurm(jobs)
        except SlurmUnavailable as error:
            raise fail(error, FAILED) from None
    numbers = [job.job_id for job in ended]
    click.echo(json.dumps(numbers) if as_json else f"cancelled {counted(len(numbers), 'job')}")


# --- what the commands share ---------------------------------------------------------------------


def _load(file: Path, overrides: tuple[str, ...]) -> "Sweep":
    from napts.experiment.spec.reading import SpecError
    from napts.launch.sweepfile import load_sweep

    try:
        return load_sweep(file, overrides)
    except SpecError as error:
        raise fail(error) from None


def load_profile(file: Path | None) -> "Cluster":
    """Read the profile of a cluster; without one, use this machine."""
    from napts.experiment.spec.reading import SpecError
    from napts.launch.cluster import LocalCluster, load_cluster

    if file is None:
        return LocalCluster(kind="local")
    try:
        return load_cluster(file)
    except SpecError as error:
        raise fail(error) from None


def new_submitter(cluster: "Cluster", records: Path, **options: Any) -> "Submitter":
    """Return what submits sweeps to a cluster and reports every local job that has ended."""
    from napts.launch.submit import Submitter

    return Submitter(cluster, records, tell=_tell_end, **options)


def _tell_end(run: Any, code: int, log: Path) -> None:
    how = "done" if code == 0 else f"ended with {code}, see {log}"
    click.echo(f"{run.planned.name}: {how}", err=True)


def _look(submitter: "Submitter", found: "Sweep") -> "Plan":
    from napts.launch.cluster import SlurmUnavailable

    try:
        return submitter.look(found)
    except SlurmUnavailable as error:
        raise fail(error, FAILED) from None
    except (OSError, ValueError) as error:
        raise fail(error) from None


def submit_sweep(submitter: "Submitter", found: "Sweep") -> Any:
    """Submit what is left of a sweep; an obstacle ends the command with one line."""
    from napts.launch.cluster import SlurmUnavailable
    from napts.launch.submit import SubmissionBusy

    try:
        return submitter.submit(found)
    except SubmissionBusy as error:
        raise fail(error, BUSY) from None
    except SlurmUnavailable as error:
        raise fail(error, FAILED) from None
    except (OSError, ValueError) as error:
        raise fail(error) from None


def _check(seen: "Plan") -> None:
    from napts.launch.submit import check_methods

    try:
        check_methods(seen.runs)
    except ValueError as error:
        raise fail(error) from None


def _show(submitter: "Submitter", found: "Sweep", *, is_local: bool) -> None:
    """Print what would be submitted."""
    arrays = submitter.arrays(_look(submitter, found))
    if not arrays:
        click.echo("nothing to submit")
    elif is_local:
        for array in arrays:
            for runs in array.jobs:
                click.echo(f"{', '.join(run.planned.name for run in runs)}  ({array.shape})")
    else:
        try:
            texts = submitter.sbatch_texts(found, arrays)
        except ValueError as error:
            raise fail(error) from None
        for array, text in zip(arrays, texts, strict=True):
            click.echo(f"# {counted(len(array.jobs), 'job')} of {array.shape}\n{text}")


def _seen(found: "Sweep", records: Path) -> "Plan":
    """Return the plan with Slurm's view, if there are jobs and it answers."""
    from napts.launch.plan import make_plan
    from napts.launch.submitted import SubmittedJobs

    queue = None
    try:
        jobs = SubmittedJobs(records, found.experiment).jobs()
        if any(job.kind == "slurm" for job in jobs):
            from napts.launch.slurm import SlurmUnavailable, job_states

            try:
                queue = job_states(jobs)
            except SlurmUnavailable:
                queue = None
        return make_plan(found, records, queue)
    except (OSError, ValueError) as error:
        raise fail(error) from None


def _watch(found: "Sweep", records: Path, interval_s: float) -> "Plan":
    from rich.console import Console
    from rich.live import Live

    seen = _seen(found, records)
    try:
        with Live(_table(seen), console=Console(), auto_refresh=False) as live:
            while any(seen.counts()[state] for state in ("running", "queued")):
                time.sleep(interval_s)
                seen = _seen(found, records)
                live.update(_table(seen), refresh=True)
    except KeyboardInterrupt:
        raise click.exceptions.Exit(INTERRUPTED) from None
    _print_failures(seen)
    return seen


def _print(seen: "Plan") -> None:
    from rich.console import Console

    Console().print(_table(seen))
    _print_failures(seen)


def _print_failures(seen: "Plan") -> None:
    from napts.launch.status import failures, package_notices

    for line in package_notices(seen):
        click.echo(f"packages of {line}")
    for failure in failures(seen):
        click.echo(f"{failure.name} {failure.state}: {failure.error}\n  log: {failure.log}")


def _table(seen: "Plan") -> "Table":
    from rich.table import Table
    from rich.text import Text

    from napts.launch.plan import STATES
    from napts.launch.status import progress

    rows = progress(seen)
    shown = [state for state in STATES if rows[-1].states[state]]
    table = Table(title=f"sweep {seen.sweep.experiment}", title_justify="left", box=None)
    table.add_column("method")
    for name in ("runs", *shown, "epochs", "restarts"):
        table.add_column(name, justify="right")
    for row in rows:
        counts = [str(row.states[state] or "–") for state in shown]
        of = "" if row.epochs is None else f"/{row.epochs:,}"
        epochs = f"{row.epochs_done:,}{of}"
        table.add_row(Text(row.label), str(row.runs), *counts, epochs, str(row.restarts))
    return table


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{number:,} {state}" for state, number in counts.items() if number)
