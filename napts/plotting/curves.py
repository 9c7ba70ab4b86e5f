"""Curves over seeds: a line for the mean, a band from the smallest to the largest value.

Where a run has failed or diverged, the mean and the range end: those of the others would show the
method as good as its lucky runs. These go on as thin lines. So they do where a run has reached its
target, or used up its time, before others: the mean would be that of the slow ones.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import (
    LogFormatterSciNotation,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    ScalarFormatter,
)

from napts.analysis.columns import Floats, floats, rows_where, rows_with, split, trained
from napts.analysis.labels import grouped
from napts.analysis.outcome import ENDED, ENDED_BADLY
from napts.plotting.style import Look

ABORTED = ENDED_BADLY
"""States of runs that ended without a result; their last value is marked with a cross."""

LOG_SPAN = 8.0
"""Ratio of the largest to the smallest value from which an axis becomes logarithmic."""


@dataclass(frozen=True)
class Curve:
    """A quantity of one method by epoch, over its seeds.

    Attributes:
        x: Mean position on the horizontal axis.
        mean: Mean over the seeds that have the epoch.
        low: Smallest value.
        high: Largest value.
    """

    x: Floats
    mean: Floats
    low: Floats
    high: Floats


def curve(group: pd.DataFrame, x: str, y: str, until: float = math.inf) -> Curve:
    """Average one method over its seeds, epoch by epoch.

    Where runs differ in ``x`` at the same epoch, as they do in seconds, the mean of ``x`` is
    taken, so that every point still is the end of an epoch.

    Args:
        group: Rows of one label; values that are not finite must have been left out.
        x: Column of the horizontal axis.
        y: Column of the vertical axis.
        until: Last epoch to be averaged.
    """
    epochs = split(rows_where(group, floats(group, "epoch") <= until), "epoch")
    where = np.array([floats(rows, x).mean() for rows in epochs])
    values = [floats(rows, y) for rows in epochs]
    return Curve(
        where,
        np.array([value.mean() for value in values]),
        np.array([value.min() for value in values]),
        np.array([value.max() for value in values]),
    )


def last_of_all(group: pd.DataFrame) -> float:
    """Return the last epoch until which no run of a label has ended.

    Args:
        group: Rows of one label, epoch 0 included, so that those are seen that ended in the first.

    Returns:
        The epoch; infinity if all runs end well, and at the same epoch.
    """
    aborted = split(rows_with(group, "state", ABORTED), "seed")
    ended = split(rows_with(group, "state", ENDED), "seed")
    last = [floats(run, "epoch").max() for run in ended]
    return min(last) if aborted or len(set(last)) > 1 else math.inf


def band(
    axes: Axes, frame: pd.DataFrame, x: str, y: str, looks: Mapping[str, Look], *, scale: float = 1
) -> None:
    """Draw one curve with its band for every label that has values.

    Args:
        axes: Panel to draw into.
        frame: Frame of `napts.analysis.epochs_frame`, of one section; epoch 0 is not drawn.
        x: Column of the horizontal axis.
        y: Column of the vertical axis.
        looks: Look per label.
        scale: Factor applied to ``y``, 100 for percentages.
    """
    untrained = floats(frame, "epoch") == 0
    known = rows_where(frame, np.isfinite(floats(frame, y)) | untrained)
    for _, label, group in grouped(known):
        look, last, drawn = looks[label], last_of_all(group), trained(group)
        line = curve(drawn, x, y, last)
        axes.fill_between(
            line.x, scale * line.low, scale * line.high, color=look.color, alpha=0.18, linewidth=0
        )
        axes.plot(
            line.x,
            scale * line.mean,
            color=look.color,
            linestyle=look.dashes,
            marker=look.marker,
            markersize=look.size,
            markevery=max(1, math.ceil(len(line.x) / 12)),
            markeredgecolor="white",
            markeredgewidth=0.4,
        )
        beyond = rows_where(drawn, floats(drawn, "epoch") >= last)
        for run in split(beyond, "seed"):
            axes.plot(
                floats(run, x), scale * floats(run, y), color=look.color, lw=0.6, ls=look.dashes
            )
        for run in split(rows_with(drawn, "state", ABORTED), "seed"):
            cross(axes, run, x, y, look, scale)


def cross(axes: Axes, run: pd.DataFrame, x: str, y: str, look: Look, scale: float = 1) -> None:
    """Mark the last value of a run that ended without a result.

    Args:
        axes: Panel to draw into.
        run: Rows of the run.
        x: Column of the horizontal axis.
        y: Column of the vertical axis.
        look: Look of its method.
        scale: Factor applied to ``y``.
    """
    last = int(floats(run, "epoch").argmax())
    axes.plot(
        [floats(run, x)[last]],
        [scale * floats(run, y)[last]],
        marker="x",
        markersize=7,
        markeredgewidth=1.8,
        color=look.color,
        linestyle="none",
        zorder=5,
    )


def log_if_wide(axes: Axes, which: str, values: Floats | None = None) -> bool:
    """Make an axis logarithmic if its curves span a wide range of positive values.

    Args:
        axes: Panel with its curves.
        which: ``"x"`` or ``"y"``.
        values: Values to judge by; by default those of the curves.

    Returns:
        Whether the axis is logarithmic now.
    """
    if values is None:
        data = [line.get_data()["xy".index(which)] for line in axes.get_lines()]
        values = np.concatenate([np.asarray(each, dtype=np.float64) for each in data or [[]]])
    values = values[np.isfinite(values)]
    if not len(values) or values.min() <= 0 or values.max() < LOG_SPAN * values.min():
        return False
    axes.set(**{f"{which}scale": "log"})
    plain = bool(values.min() >= 1e-3 and values.max() < 1e5)
    _label_logarithmic(axes, which, plain=plain, wide=values.max() > 300 * values.min())
    return True


def _label_logarithmic(axes: Axes, which: str, *, plain: bool, wide: bool) -> None:
    """Label 1, 2 and 5 of every decade (1 alone if there are many), plainly where that is short."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
    axis.set_minor_formatter(NullFormatter())
    formatter = ScalarFormatter() if plain else LogFormatterSciNotation(labelOnlyBase=False)
    if isinstance(formatter, ScalarFormatter):
        formatter.set_scientific(False)
    axis.set_major_formatter(formatter)


def whole_numbers(axes: Axes) -> None:
    """Put the ticks of the horizontal axis on whole numbers; a single one gets room around it."""
    low, high = axes.get_xlim()
    if high - low < 1:
        axes.set_xlim(round(low) - 1, round(high) + 1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=2))
