"""Time to a target of the metric, and performance profiles over targets and seeds."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from napts.analysis.measured import metric_of, named
from napts.analysis.profiles import (
    Profile,
    performance_profiles,
    starts_late,
    targets,
    times_to,
)
from napts.plotting.annotate import caption
from napts.plotting.courses import Group, groups_of, panel_grid, put_legends
from napts.plotting.curves import BEHIND, log_if_wide
from napts.plotting.style import Look, finish, looks
from napts.records.metric import Metric


def target_figure(frame: pd.DataFrame) -> Figure:
    """Draw the time to several targets of the metric, and the performance profile over them.

    Args:
        frame: Frame of `napts.analysis.epochs_frame`, of one experiment and workload.

    Returns:
        The figure. Time is CPU time of training. A run that misses a target counts as unsolved in
        the profile; one that has not ended counts in neither where it did not meet a target yet.
    """
    look, wanted, metric, groups = looks(frame), targets(frame), metric_of(frame), groups_of(frame)
    figure, (times, profiles) = panel_grid(2, groups, across=2, height=3.0, share_x=False)
    start = "the median after the first epoch" if starts_late(metric) else "the start"
    found = times_to(frame, wanted)
    _times(times, groups, found, metric, wanted, look)
    _profiles(profiles, groups, performance_profiles(frame, wanted), look)
    put_legends(figure, times, frame, groups, look)
    caption(
        figure,
        f"Targets: 50, 65, 80, 90 and 95 % of the way from {start} to the best method's final "
        f"{named(metric)}. Marks: median over all seeds, missing where half of them or more never "
        "meet the target; bars: seeds that meet it. Profile: share of all pairs of seed and target "
        "that are met within a factor of the fastest method's time.",
    )
    return figure


def has_times(frame: pd.DataFrame) -> bool:
    """Tell whether some target takes time; none does if all runs are there at the start.

    Args:
        frame: Frame of `napts.analysis.epochs_frame`, of one experiment and workload.
    """
    found = times_to(frame, targets(frame)).values()
    return any(0.0 < time < np.inf for by in found for time in by.values())


def _times(
    row: Sequence[Axes],
    groups: Sequence[Group],
    found: Mapping[str, Mapping[tuple[int, float], float]],
    metric: Metric,
    wanted: Sequence[float],
    look: Mapping[str, Look],
) -> None:
    """Draw a mark and a bar for each method and target, side by side, so that none hides one."""
    every = np.array([t for by in found.values() for t in by.values() if np.isfinite(t)])
    for axes, group in zip(row, groups, strict=True):
        step = 0.8 / max(len(group.labels), 1)
        for place, label in enumerate(group.labels):
            by = found.get(label, {})
            for target, value in enumerate(wanted):
                times = np.array([t for (_, w), t in by.items() if w == value])
                met = times[np.isfinite(times)]
                if not len(met):
                    continue
                x = target - 0.4 + step * (place + 0.5)
                color, median = look[label].color, float(np.median(times))
                axes.vlines(x, met.min(), met.max(), color=color, linewidth=1.6)
                if np.isfinite(median):
                    axes.plot(x, median, look[label].marker, color=color, markersize=4.5)
        axes.set_xticks(range(len(wanted)), [f"{metric.scale * w:.3g}" for w in wanted])
        axes.set_xlim(-0.5, len(wanted) - 0.5)
        axes.grid(visible=False, axis="x")
        for edge in range(1, len(wanted)):
            axes.axvline(edge - 0.5, color="#E4E4E4", linewidth=0.8)
    log = ", log scale" if len(every) and log_if_wide(row[0], "y", every) else ""
    for place, axes in enumerate(row):
        title = f"Time to a target {named(metric)}" if place == 0 else ""
        y_label = f"CPU time of training / s{log}" if place == 0 else ""
        finish(axes, title=title, x=f"target validation {metric.axis}", y=y_label)


def _profiles(
    row: Sequence[Axes],
    groups: Sequence[Group],
    profiles: Sequence[Profile],
    look: Mapping[str, Look],
) -> None:
    farthest = max((p.factors[-1] for p in profiles if len(p.factors)), default=1.0) * 1.1
    lines = [
        (p.label, [1.0, *p.factors, farthest], [0.0, *p.solved, *p.solved[-1:], *_none(p)])
        for p in profiles
    ]
    for place, (axes, group) in enumerate(zip(row, groups, strict=True)):
        own = [line for line in lines if line[0] in group.labels]
        for label, x, y in [*(line for line in lines if line not in own), *own]:
            if label in group.labels:
                style = {"color": look[label].color, "linestyle": look[label].dashes}
            else:
                style = {"color": BEHIND, "linewidth": 0.8}
            axes.step(x, y, where="post", **style)
        log = ", log" if log_if_wide(axes, "x") else ""
        if len(row) > 2:
            axes.tick_params(axis="x", labelsize=7)
        axes.set_ylim(-0.02, 1.02)
        finish(
            axes,
            title="Performance profile" if place == 0 else "",
            x=f"factor of the fastest time{log}",
            y="share of seeds and targets met" if place == 0 else "",
        )


def _none(profile: Profile) -> list[float]:
    """Return the end of the line of a method that has met no target."""
    return [] if len(profile.solved) else [0.0]
