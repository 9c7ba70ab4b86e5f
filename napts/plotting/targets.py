"""Time to a target of the metric, and performance profiles over targets and seeds."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from napts.analysis.measured import metric_of, named
from napts.analysis.profiles import performance_profiles, starts_late, targets, times_to
from napts.plotting.annotate import caption, legend
from napts.plotting.curves import log_if_wide
from napts.plotting.style import Look, finish, looks, new_figure


def target_figure(frame: pd.DataFrame, *, narrow: bool = False) -> Figure:
    """Draw the time to several targets of the metric, and the performance profile over them.

    Args:
        frame: Frame of `napts.analysis.epochs_frame`, of one experiment and workload.
        narrow: One panel above the other, for small screens.

    Returns:
        The figure. Time is CPU time of training. A run that misses a target has no point, and
        counts as unsolved in the profile; one
        that has not ended counts in neither where it did not meet a target yet.
    """
    figure = new_figure(4.2, 7.6) if narrow else new_figure(9.6, 3.9)
    times, profile = figure.subplots(2, 1) if narrow else figure.subplots(1, 2)
    look, wanted, metric = looks(frame), targets(frame), metric_of(frame)
    start = "the median after the first epoch" if starts_late(metric) else "the start"
    _times(times, frame, wanted, look)
    _profile(profile, frame, wanted, look)
    legend(figure, frame, look)
    caption(
        figure,
        f"Targets: 50, 65, 80, 90 and 95 % of the way from {start} to the best method's final "
        f"{named(metric)}. Points: seeds that reach it; line: their median, where most do. Right: "
        "share of all pairs of seed and target that are met within a factor of the fastest method.",
    )
    return figure


def _times(axes: Axes, frame: pd.DataFrame, wanted: list[float], look: dict[str, Look]) -> None:
    metric = metric_of(frame)
    for label, by in times_to(frame, wanted).items():
        medians = [np.median([t for (_, w), t in by.items() if w == target]) for target in wanted]
        points = [(metric.scale * w, t) for (_, w), t in by.items() if np.isfinite(t)]
        if points:
            x, y = zip(*points, strict=True)
            size = 0.75 * look[label].size
            axes.plot(x, y, look[label].marker, color=look[label].color, markersize=size, alpha=0.6)
        axes.plot(
            [metric.scale * target for target in wanted],
            [m if np.isfinite(m) else np.nan for m in medians],
            color=look[label].color,
            linestyle=look[label].dashes,
        )
    log = ", log scale" if log_if_wide(axes, "y") else ""
    if metric.goal == "min":
        axes.invert_xaxis()  # the harder the farther to the right, as of metrics that rise
    finish(
        axes,
        title=f"Time to a target {named(metric)}",
        x=f"target validation {metric.axis}",
        y=f"CPU time of training / s{log}",
    )


def _profile(axes: Axes, frame: pd.DataFrame, wanted: list[float], look: dict[str, Look]) -> None:
    profiles = performance_profiles(frame, wanted)
    farthest = max((p.factors[-1] for p in profiles if len(p.factors)), default=1.0) * 1.1
    for p in profiles:
        share = p.solved[-1] if len(p.solved) else 0.0
        axes.step(
            [1.0, *p.factors, farthest],
            [0.0, *p.solved, share],
            where="post",
            color=look[p.label].color,
            linestyle=look[p.label].dashes,
        )
    log = ", log scale" if log_if_wide(axes, "x") else ""
    axes.set_ylim(-0.02, 1.02)
    finish(
        axes,
        title="Performance profile",
        x=f"factor of the fastest method's time{log}",
        y="share of seeds and targets met",
    )
