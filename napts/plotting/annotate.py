"""What surrounds the panels: one legend with the number of runs, a line of explanation."""

import textwrap
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from napts.analysis.columns import split, texts
from napts.analysis.labels import grouped
from napts.plotting.curves import ABORTED, last_of_all
from napts.plotting.style import Look
from napts.records.layout import MERGED

_LETTER_INCHES = 0.067
_HANDLE_INCHES = 0.56
_CAPTION_LETTER_INCHES = 0.062
_TITLE_LETTER_INCHES = 0.105
"""Rough widths at the font sizes of the style; measuring text would need a first drawing."""


def legend(figure: Figure, frame: pd.DataFrame, looks: Mapping[str, Look]) -> None:
    """Put one legend above the figure that names every method with its number of runs.

    Args:
        figure: The figure; the legend takes as many columns as its width holds.
        frame: Frame of `napts.analysis.epochs_frame`, of one section.
        looks: Look per label.
    """
    entries = handles(frame, looks)
    columns = fitting_columns(figure, [str(handle.get_label()) for handle in entries])
    figure.legend(handles=entries, loc="outside upper left", ncols=columns, columnspacing=1.4)


def handles(frame: pd.DataFrame, looks: Mapping[str, Look]) -> list[Line2D]:
    """Return the entries of a legend: every method with its number of runs; arguments as above."""
    return [
        Line2D(
            [],
            [],
            color=looks[label].color,
            linestyle=looks[label].dashes,
            marker=looks[label].marker,
            markersize=looks[label].size,
            markeredgecolor="white",
            markeredgewidth=0.4,
            label=f"{label} ({count_runs(group)})",
        )
        for _, label, group in grouped(frame)
    ]


def fitting_columns(figure: Figure, entries: list[str]) -> int:
    """Return how many legend entries fit side by side.

    Args:
        figure: The figure.
        entries: Texts of the legend.
    """
    for columns in range(len(entries), 1, -1):
        # Matplotlib fills the legend column by column.
        rows = -(-len(entries) // columns)
        widest = [max(map(len, entries[i : i + rows])) for i in range(0, len(entries), rows)]
        if sum(_LETTER_INCHES * n + _HANDLE_INCHES for n in widest) <= figure.get_figwidth():
            # As many rows need no more columns than this, which leaves no row nearly empty.
            return -(-len(entries) // rows)
    return 1


def count_runs(group: pd.DataFrame) -> str:
    """Return ``n=3``, with the runs that ended without a result named.

    Args:
        group: Rows of one label.
    """
    states = [texts(run, "state")[0] for run in split(group, "seed")]
    aborted = [f"{states.count(state)} {state}" for state in ABORTED if state in states]
    return ", ".join([f"n={len(states)}", *aborted])


def what_points_are(frame: pd.DataFrame) -> str:
    """Return a sentence on the points of curves by epoch.

    Args:
        frame: Frame of `napts.analysis.epochs_frame`.
    """
    if MERGED in frame:
        return "One point per epoch; of thinned records, those that all seeds keep."
    return "One point per epoch."


def thin_lines(frame: pd.DataFrame) -> str:
    """Return a sentence on what `napts.plotting.curves.band` draws, if runs end apart.

    Args:
        frame: Frame of `napts.analysis.epochs_frame`.
    """
    aborted = set(texts(frame, "state")) & set(ABORTED)
    if aborted:
        return " Thin lines: seeds that went on where one failed or diverged."
    apart = any(np.isfinite(last_of_all(group)) for _, _, group in grouped(frame))
    return " Thin lines: seeds that went on where another one ended." if apart else ""


def caption(figure: Figure, text: str) -> None:
    """Print an explanation at the lower edge of the figure, wrapped to its width.

    Args:
        figure: The figure.
        text: The explanation.
    """
    width = int(figure.get_figwidth() / _CAPTION_LETTER_INCHES)
    figure.supxlabel(textwrap.fill(text, width), x=0.01, ha="left", fontsize=7.5, color="#555555")


def entitle(figure: Figure, text: str) -> None:
    """Write the problem and the subject above all else; the figure becomes higher by that line.

    Args:
        figure: The figure, with its legend.
        text: The title, wrapped to the figure's width.
    """
    lines = textwrap.wrap(text, int(figure.get_figwidth() / _TITLE_LETTER_INCHES)) or [""]
    room = 0.12 + 0.2 * len(lines)
    height = figure.get_figheight() + room
    figure.set_figheight(height)
    below = 1 - room / height
    # A legend that has its own place is no longer counted by the layout.
    canvas = FigureCanvasAgg(figure)
    top = below
    for each in figure.legends:
        each.set_bbox_to_anchor((0, 0, 1, below), transform=figure.transFigure)
        pixels = each.get_window_extent(canvas.get_renderer()).height
        top = min(top, below - (pixels / figure.dpi + 0.08) / height)
    engine = figure.get_layout_engine()
    if isinstance(engine, ConstrainedLayoutEngine):
        engine.set(rect=(0, 0, 1, top))
    figure.text(
        0.01, 1 - 0.06 / height, "\n".join(lines), ha="left", va="top", fontsize=11, weight="bold"
    )
