"""Curves over seeds: a line for the mean, a band from the smallest to the largest value.

Where one seed would make the band it is median and quartiles.

Where a run has failed or diverged, the mean and the range end: those of the others would show the
method as good as its lucky runs. These go on as thin lines. So they do where a run has reached its
target, or used up its time, before others: the mean would be that of the slow ones.
"""

import math
from collections.abc import Mapping, Sequence
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

BEHIND = "#C4C8CC"
"""Colour of lines that stand behind for comparison."""

LOG_SPAN = 8.0
"""Ratio of the largest to the smallest value from which an axis becomes logarithmic."""


POINTS = 240
"""Points of a curve that are drawn at most; a figure is no larger for runs of many epochs."""

FEW_SEEDS = 4
"""Seeds from which quartiles say something."""

DOMINATED = 4.0
"""Range over the distance of the quartiles from which a single seed makes a band."""


@dataclass(frozen=True)
class Curve:
    """A quantity of one method by epoch, over its seeds.

    Attributes:
        x: Mean position on the horizontal axis.
        middle: Mean over the seeds that have the epoch, or their median.
        low: Smallest value, or the lower quartile.
        high: Largest value, or the upper quartile.
    """

    x: Floats
    middle: Floats
    low: Floats
    high: Floats

    def thinned(self) -> "Curve":
        """Return the curve with at most `POINTS` points, dense on linear and logarithmic axes."""
        kept = thin(len(self.x))
        return Curve(self.x[kept], self.middle[kept], self.low[kept], self.high[kept])


def thin(n: int) -> np.ndarray:
    """Return which of ``n`` points are drawn, at most `POINTS`, both ends among them."""
    if n <= POINTS:
        return np.arange(n)
    evenly = np.linspace(0, n - 1, POINTS // 2)
    by_ratio = np.geomspace(1, n, POINTS // 2) - 1
    return np.unique(np.round(np.concatenate([evenly, by_ratio])).astype(int))


def curve(
    group: pd.DataFrame, x: str, y: str, until: float = math.inf, *, quartiles: bool = False
) -> Curve:
    """Average one method over its seeds, epoch by epoch.

    Where runs differ in ``x`` at the same epoch, as they do in seconds, the mean of ``x`` is
    taken, so that every point still is the end of an epoch.

    Args:
        group: Rows of one label; values that are not finite must have been left out.
        x: Column of the horizontal axis.
        y: Column of the vertical axis.
        until: Last epoch to be averaged.
        quartiles: Median and quartiles instead of mean and range.
    """
    rows = rows_where(group, floats(group, "epoch") <= until)
    where, values = _by_epoch(rows, x), _by_epoch(rows, y)
    if not len(values):
        return Curve(*[np.empty(0)] * 4)
    if quartiles:
        low, middle, high = (_quantile(values, share) for share in (0.25, 0.5, 0.75))
    else:
        low, middle, high = np.nanmin(values, 1), np.nanmean(values, 1), np.nanmax(values, 1)
    return Curve(np.nanmean(where, 1), middle, low, high)


def _quantile(values: Floats, share: float) -> Floats:
    """Return a quantile of every row without its NaN; `numpy.nanquantile` goes row by row."""
    ordered = np.sort(values, axis=1)  # NaN last
    place = share * (np.isfinite(values).sum(axis=1) - 1)
    below = np.floor(place).astype(int)
    lines = np.arange(len(values))
    low, high = ordered[lines, below], ordered[lines, np.ceil(place).astype(int)]
    return low + (place - below) * (high - low)


def _by_epoch(rows: pd.DataFrame, column: str) -> Floats:
    """Return an array of one row per epoch and one column per seed, NaN where a seed has none."""
    epochs, line = np.unique(floats(rows, "epoch"), return_inverse=True)
    seeds, place = np.unique(floats(rows, "seed"), return_inverse=True)
    values = np.full((len(epochs), len(seeds)), np.nan)
    values[line, place] = floats(rows, column)
    return values


def in_step(group: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the epochs of which every run has one that has got so far.

    Thinned records lack different ones of different runs; of all other runs these are all rows.

    Args:
        group: Rows of one label.
    """
    epochs, ends = floats(group, "epoch"), [floats(r, "epoch").max() for r in split(group, "seed")]
    found, place, there = np.unique(epochs, return_inverse=True, return_counts=True)
    expected = len(ends) - np.searchsorted(np.sort(ends), found)
    return rows_where(group, (there >= expected)[place])


def dominated(frame: pd.DataFrame, columns: Sequence[str]) -> bool:
    """Tell whether a single seed makes the range of some method's curve.

    Args:
        frame: Frame of `napts.analysis.epochs_frame`, of one section.
        columns: The quantities that are drawn.
    """
    for _, _, group in grouped(trained(frame)):
        if len(set(floats(group, "seed"))) < FEW_SEEDS:
            continue
        shared = in_step(group)
        for column in columns:
            known = rows_where(shared, np.isfinite(floats(shared, column)))
            every, inner = (curve(known, "epoch", column, quartiles=q) for q in (False, True))
            reach, distance = every.high - every.low, inner.high - inner.low
            if len(reach) and np.median(reach) > DOMINATED * np.median(distance) > 0.0:
                return True
    return False


def _at(group: pd.DataFrame, epochs: Floats) -> pd.DataFrame:
    return rows_where(group, np.isin(floats(group, "epoch"), epochs))


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
    axes: Axes,
    frame: pd.DataFrame,
    x: str,
    y: str,
    looks: Mapping[str, Look],
    *,
    scale: float = 1,
    quartiles: bool = False,
    shown: Sequence[str] | None = None,
) -> None:
    """Draw one curve with its band for every label that has values.

    A line that lies below others stays visible: the first are drawn wider than the last, and the
    markers of no two stand at the same epochs.

    Args:
        axes: Panel to draw into.
        frame: Frame of `napts.analysis.epochs_frame`, of one section; epoch 0 is not drawn.
        x: Column of the horizontal axis.
        y: Column of the vertical axis.
        looks: Look per label.
        scale: Factor applied to ``y``, 100 for percentages.
        quartiles: Median and quartiles instead of mean and range.
        shown: Labels that have their colours; the others are drawn in grey, without a band. All
            of them if it is None.
    """
    untrained = floats(frame, "epoch") == 0
    both = np.isfinite(floats(frame, x)) & np.isfinite(floats(frame, y))
    known = grouped(rows_where(frame, both | untrained))
    shared = {label: floats(in_step(group), "epoch") for _, label, group in grouped(frame)}
    own = [(label, group) for _, label, group in known if shown is None or label in shown]
    grey = [(label, rows) for _, label, rows in known if shown is not None and label not in shown]
    for label, group in grey:
        drawn = _at(trained(group), shared[label])
        line = curve(drawn, x, y, last_of_all(group), quartiles=quartiles).thinned()
        axes.plot(line.x, scale * line.middle, color=BEHIND, lw=0.8, zorder=1.5)
    for place, (label, group) in enumerate(own):
        look, last, drawn = looks[label], last_of_all(group), trained(group)
        line = curve(_at(drawn, shared[label]), x, y, last, quartiles=quartiles).thinned()
        if drawn.empty:
            continue
        axes.fill_between(
            line.x, scale * line.low, scale * line.high, color=look.color, alpha=0.18, linewidth=0
        )
        step = max(1, math.ceil(len(line.x) / 10))
        axes.plot(
            line.x,
            scale * line.middle,
            color=look.color,
            linestyle=look.dashes,
            linewidth=_width(place, len(own)),
            marker=look.marker,
            markersize=look.size,
            markevery=(round(place * step / len(own)) % step, step),
            markeredgecolor="white",
            markeredgewidth=0.4,
        )
        if math.isfinite(last):  # the last one that all of them have
            last = shared[label][shared[label] <= last].max()
        beyond = rows_where(drawn, floats(drawn, "epoch") >= last)
        for run in split(beyond, "seed"):
            kept = thin(len(run))
            axes.plot(
                floats(run, x)[kept],
                scale * floats(run, y)[kept],
                color=look.color,
                lw=0.6,
                ls=look.dashes,
            )
        for run in split(rows_with(drawn, "state", ABORTED), "seed"):
            cross(axes, run, x, y, look, scale)


def _width(place: int, lines: int) -> float:
    """Return the width of a line: the first, which lie below, are the widest."""
    return 2.6 - 1.4 * place / max(lines - 1, 1) if lines > 1 else 1.8


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
