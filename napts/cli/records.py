"""``napts records``: copies of records that are worth keeping, and packed ones opened again."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from napts.cli.shared import counted, fail

_PATH = click.Path(path_type=Path)
_THIN = click.option(
    "--thin",
    is_flag=True,
    help="Keep only some rows of runs with many epochs of one step each, with the totals of all.",
)


@click.group()
def records() -> None:
    """Condense, pack and unpack records."""


@records.command()
@click.argument("records", type=_PATH)
@click.argument("target", type=_PATH)
@_THIN
def condense(records: Path, target: Path, thin: bool) -> None:
    """Copy RECORDS to TARGET without steps, checkpoints and names of computers."""
    from napts.records.condense import condense as condense_runs

    _write(partial(condense_runs, thinned=thin), records, target)


@records.command()
@click.argument("records", type=_PATH)
@click.argument("target", type=_PATH)
@_THIN
def pack(records: Path, target: Path, thin: bool) -> None:
    """Condense RECORDS into one file for each experiment, in the folder TARGET.

    Runs that a file in TARGET has and RECORDS lacks stay in it.
    """
    from napts.records.condense import condense_packed

    _write(partial(condense_packed, thinned=thin), records, target)


@records.command()
@click.argument("files", type=_PATH, nargs=-1, required=True)
@click.argument("target", type=_PATH)
def unpack(files: tuple[Path, ...], target: Path) -> None:
    """Write the runs of packed FILES as run directories in TARGET, so that a sweep can continue."""
    from napts.records import unpack as unpack_runs

    for file in files:
        try:
            count = len(unpack_runs(file, target))
        except (OSError, ValueError) as error:
            raise fail(error) from None
        click.echo(f"{file}: {counted(count, 'run')}")


def _write(write: Callable[[Path, Path], list[Path]], records: Path, target: Path) -> None:
    """Write copies of records and print their paths."""
    try:
        written = write(records, target)
    except (OSError, ValueError) as error:
        raise fail(error) from None
    if not written:
        raise fail(f"{records}: no run directories here")
    for path in written:
        click.echo(path)
