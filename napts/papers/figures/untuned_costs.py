"""STTR and TTR beside their rivals: the metric by passes, a panel for each problem."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from napts.analysis import Section
from napts.analysis.columns import floats, rows_where, rows_with
from napts.papers.untuned import METHODS, REFERENCE, Standing, is_ours
from napts.plotting.annotate import caption, legend
from napts.plotting.curves import band
from napts.plotting.style import finish, looks, new_figure
from napts.records.metric import Metric

CLOCK = "pass_equivalents_total"
ACROSS = 3


def cost_frame(found: Sequence[Standing]) -> pd.DataFrame:
    """Return the epochs of what is drawn: ours, and the rivals that all problems have.

    Returns:
        The rows of `napts.analysis.epochs_frame` with the column ``problem``.
    """
    common = set.intersection(*[set(one.values) for one in found])
    chosen = [label for label in common if label in METHODS or not is_ours(label)]
    parts = [
        rows_with(one.section.epochs, "label", chosen).assign(problem=one.problem) for one in found
    ]
    return pd.concat(parts, ignore_index=True)


def cost_figure(found: Sequence[Standing], frame: pd.DataFrame, section: Section) -> Figure:
    """Draw the validation metric by passes.

    Args:
        found: How one of ours stands on the problems.
        frame: From `cost_frame`.
        section: All runs.
    """
    down = -(-len(found) // ACROSS)
    figure = new_figure(9.6, 1.3 + 2.2 * down)
    panels = np.ravel(np.asarray(figure.subplots(down, min(ACROSS, len(found)), squeeze=False)))
    look = looks(section.runs)
    for axes in panels[len(found) :]:
        axes.set_axis_off()
    for place, (axes, one) in enumerate(zip(panels, found, strict=False)):
        metric = one.section.metric
        own, scale = rows_with(frame, "problem", [one.problem]), 100 if metric.fraction else 1
        band(axes, own, CLOCK, metric.column("val"), look, scale=scale)
        _look_closer(axes, own, metric, scale)
        low = place >= len(found) - ACROSS
        finish(axes, title=one.problem, x="passes" if low else "", y=metric.axis)
    legend(figure, rows_with(frame, "problem", [found[0].problem]), look)
    caption(
        figure,
        "Mean and range over the seeds, validation data, at the end of each epoch. Passes: a "
        "forward and a backward count as three forwards. Panels begin at what tuned Adam has "
        "after one epoch, so lines that stay below that are cut off.",
    )
    return figure


def _look_closer(axes: Axes, own: pd.DataFrame, metric: Metric, scale: float) -> None:
    """Cut off what is worse than the mean of tuned Adam after its first epoch."""
    adam = rows_with(own, "label", [REFERENCE])
    first = rows_where(adam, floats(adam, "epoch") == 1)
    trained = floats(rows_where(own, floats(own, "epoch") >= 1), metric.column("val"))
    trained = trained[np.isfinite(trained)]
    if first.empty or not len(trained):
        return
    worst = scale * float(np.mean(floats(first, metric.column("val"))))
    best = scale * float(trained.min() if metric.goal == "min" else trained.max())
    if worst != best:
        margin = 0.05 * (best - worst)
        ends = sorted((worst - margin, best + margin))
        axes.set_ylim(ends[0], ends[1])
