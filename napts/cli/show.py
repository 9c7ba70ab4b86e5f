"""``napts show``: single tables that are printed from records."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from napts.cli.shared import FAILED, IMPORTS, LeftOut, fail

if TYPE_CHECKING:
    from napts.analysis import Collection, Table

_FOLDER = click.argument("records", type=click.Path(path_type=Path))
_MARKDOWN = click.option("--markdown", is_flag=True, help="Print the table in Markdown.")


@click.group()
def show() -> None:
    """Print a table of numbers from RECORDS."""


@show.command()
@_FOLDER
@click.argument("workload")
@click.argument("value", type=float)
@click.argument("rivals", nargs=-1, metavar="[RIVAL]...")
@_MARKDOWN
@IMPORTS
def target(
    records: Path, workload: str, value: float, rivals: tuple[str, ...], markdown: bool
) -> None:
    """What methods cost to bring their metric on WORKLOAD to VALUE, and how they end.

    Epochs, CPU seconds of training and passes, and the ratio of the CPU seconds to those of each
    RIVAL, with an interval.
    """

    def table(collection: "Collection") -> "Table":
        from napts.analysis.reaching import reaching_table

        return reaching_table(collection, workload, value, rivals)

    _print(records, table, markdown)


@show.command()
@_FOLDER
@_MARKDOWN
@IMPORTS
def ratios(records: Path, markdown: bool) -> None:
    """Ratios of time, rejections and gradients between methods, paired by seed."""
    from napts.papers.ratios import ratio_table

    _print(records, ratio_table, markdown)


@show.command()
@_FOLDER
@_MARKDOWN
@IMPORTS
def rejected(records: Path, markdown: bool) -> None:
    """Steps of trust-region methods in which no trial was accepted."""
    from napts.analysis.wholly_rejected import wholly_rejected_table

    _print(records, wholly_rejected_table, markdown)


@show.command()
@_FOLDER
@_MARKDOWN
@IMPORTS
def cells(records: Path, markdown: bool) -> None:
    """How far each calibrated setting is from the times that the NAPTS paper prints."""
    from napts.papers.cell_times import cell_times_table

    _print(records, cell_times_table, markdown)


@show.command()
@_FOLDER
@click.argument("workload", default="digits-resnet")
@_MARKDOWN
@IMPORTS
def levels(records: Path, workload: str, markdown: bool) -> None:
    """What multilevel training costs to get to where one level ends, seed by seed."""

    def table(collection: "Collection") -> "Table":
        from napts.papers.level_ratios import level_ratio_table

        return level_ratio_table(collection, workload)

    _print(records, table, markdown)


def _print(records: Path, make: "Callable[[Collection], Table]", markdown: bool) -> None:
    from napts.analysis import load_collection

    left_out = LeftOut()
    try:
        collection = load_collection(records)
        for damage in collection.damages:
            left_out(damage)
        table = make(collection)
    except (OSError, ValueError) as error:
        raise fail(error) from None
    click.echo(table.to_markdown() if markdown else table.to_text())
    if left_out:
        raise click.exceptions.Exit(FAILED)
