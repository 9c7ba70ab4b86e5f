"""Tables for people: formatted cells, rendered as text, Markdown, HTML or with rich."""

import html
import itertools
import math
import re
import statistics
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napts.records.metric import Metric
from napts.text import visible

if TYPE_CHECKING:
    from rich.table import Table as RichTable

    from napts.analysis.statistics import Summary

MISSING = "–"
"""Shown if a value does not exist."""

WORDS_WIDTH = 34
"""Letters per line of a cell of words in plain text."""


def number(value: float | None, places: int | None = None) -> str:
    """Format a number for a table.

    Args:
        value: The number; None and NaN are shown as `MISSING`.
        places: Digits after the point; by default three significant digits.
    """
    if value is None or math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if places is None:
        magnitude = math.floor(math.log10(abs(value))) if value else 0
        if magnitude < -3 or magnitude > 5:
            return f"{value:.2e}"
        places = max(0, 2 - magnitude)
    return f"{value:.{places}f}"


def percent(value: float | None) -> str:
    """Format a fraction between 0 and 1 as a percentage without its sign."""
    return number(None if value is None else 100 * value, places=2)


def two_places(value: float | None) -> str:
    """Format a number with two digits after the point."""
    return number(value, places=2)


def form_of(metric: Metric) -> Callable[[float | None], str]:
    """Return what formats the values of a metric: a percentage for fractions, else a number."""
    return percent if metric.fraction else number


def with_unit(value: float, metric: Metric) -> str:
    """Return a value of a metric with its unit, for example ``"96.40 %"``, ``"0.421"``."""
    return f"{form_of(metric)(value)}{' %' if metric.fraction else ''}"


def spread(row: Mapping[str, Any], quantity: str, form: Callable[[float | None], str]) -> str:
    """Format mean and range of a quantity as ``mean [min, max]``.

    Args:
        row: A row of `napts.analysis.comparison`.
        quantity: Name of the quantity, without the statistic.
        form: Formats one number.

    Returns:
        What `bracketed` returns; `MISSING` if there is no value.
    """
    mean, low, high = (row[f"{quantity}_{name}"] for name in ("mean", "min", "max"))
    return bracketed(mean, low, high, form)


def over_runs(summary: "Summary", form: Callable[[float | None], str] = number) -> str:
    """Format mean and range of a quantity over runs as `spread` does.

    Args:
        summary: The quantity.
        form: Formats one number.
    """
    return bracketed(summary.mean, summary.minimum, summary.maximum, form)


def bracketed(
    middle: float,
    low: float,
    high: float,
    form: Callable[[float | None], str] = number,
) -> str:
    """Format a number with a range or an interval, as ``middle [low, high]``.

    Args:
        middle: A mean, a median or a ratio.
        low: Lower end; NaN if there is none.
        high: Upper end.
        form: Formats one number.

    Returns:
        The number alone if the ends do not exist or read as it does.
    """
    shown, *ends = (form(value) for value in (middle, low, high))
    return shown if {*ends} <= {shown, MISSING} else f"{shown} [{', '.join(ends)}]"


def median_of(values: Sequence[float], n: int | None = None) -> str:
    """Format median and range of a cost as ``median [smallest, largest]``.

    Args:
        values: The costs of the runs that have one.
        n: Number of all runs, of which the others cost infinitely much.
    """
    known = sorted(value for value in values if not math.isnan(value))
    infinite = [math.inf] * ((n or len(values)) - len(known))
    if not known:
        return number(math.inf) if infinite else MISSING
    return bracketed(statistics.median([*known, *infinite]), known[0], known[-1])


SINGLE = (
    "A number without brackets is that of a single run, or of several that agree in all digits."
)
"""Note below tables of means with ranges."""


@dataclass(frozen=True)
class Table:
    """A titled table of formatted cells. The first column names the row.

    Attributes:
        title: What the table shows.
        columns: Headers.
        rows: Cells, one list per row, as long as ``columns``.
        notes: Sentences printed below.
        words: Columns that hold words: aligned to the left, and wrapped.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = field(default_factory=tuple)
    words: Sequence[str] = field(default_factory=tuple)

    def _left(self, index: int) -> bool:
        return index == 0 or self.columns[index] in self.words

    def to_text(self) -> str:
        """Return the table in fixed width, without colours or box characters."""
        lines = [self.columns, *(line for row in self.rows for line in self._wrapped(row))]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.columns))]
        body = [
            "  ".join(
                cell.ljust(width) if self._left(i) else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        ]
        rule = "-" * max(len(line) for line in body)
        notes = [textwrap.fill(note, 80) for note in self.notes]
        return "\n".join([self.title, rule, body[0], rule, *body[1:], rule, *notes])

    def _wrapped(self, row: Sequence[str]) -> list[list[str]]:
        """Return a row as several lines if a cell of words is long."""
        parts = [
            textwrap.wrap(cell, WORDS_WIDTH) or [""] if self.columns[i] in self.words else [cell]
            for i, cell in enumerate(row)
        ]
        return [list(line) for line in itertools.zip_longest(*parts, fillvalue="")]

    def to_markdown(self) -> str:
        """Return the table in GitHub's Markdown, with the title as a bold line."""
        rule = ["---" if self._left(i) else "---:" for i in range(len(self.columns))]
        head, *rows = [[markdown(cell) for cell in line] for line in [self.columns, *self.rows]]
        table = "\n".join(f"| {' | '.join(line)} |" for line in [head, rule, *rows])
        return "\n\n".join([f"**{markdown(self.title)}**", table, *map(markdown, self.notes)])

    def to_html(self) -> str:
        """Return the table as HTML with a caption; every text is escaped."""
        kinds = (' class="words"' if name in self.words else "" for name in self.columns)
        head = "".join(
            f'<th scope="col"{kind}>{html.escape(name)}</th>'
            for name, kind in zip(self.columns, kinds, strict=True)
        )
        words = [name in self.words for name in self.columns]
        rows = "\n".join(f"<tr>{_html_cells(row, words)}</tr>" for row in self.rows)
        notes = "".join(f'<p class="note">{html.escape(note)}</p>' for note in self.notes)
        return (
            '<div class="scroll" tabindex="0"><table>\n'
            f"<caption>{html.escape(self.title)}</caption>\n"
            f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table></div>\n{notes}"
        )

    def to_rich(self) -> "RichTable":
        """Return the table for a terminal; rich is imported here and nowhere else."""
        from rich.box import SIMPLE_HEAD
        from rich.table import Table as RichTable
        from rich.text import Text

        caption = Text("\n".join(self.notes))
        table = RichTable(
            title=Text(self.title),
            caption=caption if self.notes else None,
            title_justify="left",
            caption_justify="left",
            box=SIMPLE_HEAD,
            pad_edge=False,
            collapse_padding=True,
        )
        for index, name in enumerate(self.columns):
            left, words = self._left(index), name in self.words
            table.add_column(Text(name), justify="left" if left else "right", no_wrap=not words)
        for row in self.rows:
            table.add_row(*map(Text, row))
        return table


_IN_MARKDOWN = re.compile(r"[\\`*<>|$~]|^#|&(?=#?\w+;)|\b_|_\b|\](?=[(\[:])")
"""Characters with a meaning in GitHub's Markdown: code, emphasis, tags, formulas, links, cells."""


def markdown(text: str) -> str:
    """Return a text as written in a cell or a paragraph of Markdown.

    Args:
        text: Any text; hidden characters in it are spelled out.
    """
    return _IN_MARKDOWN.sub(lambda found: f"\\{found[0]}", visible(text))


def _html_cells(row: Sequence[str], words: Sequence[bool]) -> str:
    first, *others = (html.escape(cell) for cell in row)
    cells = (
        f'<td class="words">{cell}</td>' if is_words else f"<td>{cell}</td>"
        for cell, is_words in zip(others, words[1:], strict=True)
    )
    return f'<th scope="row">{first}</th>' + "".join(cells)
