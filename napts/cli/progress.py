"""A bar for work that goes through many runs; only on a terminal, never in a log file."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

Tell = Callable[[int, int, str], None]
"""Called after each run with: runs done, runs in all, the run's name."""


class _Rate(ProgressColumn):
    """Runs per second, once it is known."""

    def render(self, task: Task) -> Text:
        """Return the rate as text."""
        return Text(f"{_figure(task.speed)} runs/s" if task.speed else "- runs/s")


@contextmanager
def progress_bar(what: str, console: Console | None = None) -> Iterator[Tell]:
    """Show how many runs are done, the rate and the time left.

    Args:
        what: One word for what is being done.
        console: Where to write; standard error by default, so that results can be piped.

    Yields:
        The function that moves the bar. The bar disappears when the block ends.
    """
    console = console or Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    task = bar.add_task(what, total=None)
    with bar:
        yield lambda done, total, name: bar.update(task, completed=done, total=total)


def rate(runs: int, seconds: float) -> str:
    """Return the end of a line on speed, such as ``"62 s, 16 runs/s"``."""
    return f"{_figure(seconds)} s, {_figure(runs / max(seconds, 1e-9))} runs/s"


def _figure(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"
