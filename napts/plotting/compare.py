"""Figures that compare methods by cost: seconds, passes, rejected and accepted steps, radius."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from napts.analysis.columns import (
    Floats,
    floats,
    rows_where,
    rows_with,
    split,
    texts,
    trained,
    with_trust_region,
)
from napts.analysis.labels import grouped
from napts.analysis.measured import metric_of
from napts.plotting.annotate import (
    caption,
    count_runs,
    fitting_columns,
    thin_lines,
    what_points_are,
)
from napts.plotting.courses import Course, course_figure, groups_of, lines_and_bands
from napts.plotting.curves import log_if_wide
from napts.plotting.style import PHASES, finish, looks, new_figure

CLOCKS = {
    "train_seconds_total": "training time / s",
    "pass_equivalents_total": "forward-backward passes",
}
"""Columns of the horizontal axes and their labels."""

RADIUS_SPANS = 12
"""Spans of epochs whose radii are shown at most."""


def cost_figure(frame: pd.DataFrame) -> Figure:
    """Draw loss and metric against training time and against passes through the network.

    Args:
        frame: Frame of `napts.analysis.epochs_frame`, of one experiment and workload.

    Returns:
        The figure. Seconds are those of training alone. A forward counts as 1/3 and a backward
        as 2/3 of a pass, local passes of all subdomains together as one, or as the share of the
        batch that they use.
    """
    metric = metric_of(frame)
    loss, other = "train_loss", metric.column("val")
    # A fraction keeps its plain axis, on which its shares can be compared.
    log = not metric.fraction
    title, unit = f"Validation {metric.label}", metric.axis
    courses = [
        *(Course("Training loss", x, at, loss, "mean loss per sample") for x, at in CLOCKS.items()),
        *(Course(title, x, at, other, unit, metric.scale, log) for x, at in CLOCKS.items()),
    ]
    figure, _, quartiles = course_figure(frame, courses, looks(frame))
    parts = "local_fraction" in frame and min(frame["local_fraction"].tolist(), default=1) < 1
    caption(
        figure,
        f"{lines_and_bands(quartiles, several=len(groups_of(frame)) > 1)} {what_points_are(frame)} "
        "A forward counts 1/3, a backward 2/3, the local passes of all subdomains "
        + ("their share of the batch." if parts else "1.")
        + thin_lines(frame),
    )
    return figure


def rejection_figure(frame: pd.DataFrame) -> Figure:
    """Draw the rejected steps per batch by the phase in which they were rejected.

    Args:
        frame: Frame of `napts.analysis.epochs_frame`, of one experiment and workload.

    Returns:
        The figure: stacked bars of the means over seeds, a whisker for the range of the total.
    """
    training = trained(with_trust_region(frame))
    rows = grouped(training)
    figure = new_figure(7.2, 1.5 + 0.36 * max(len(rows), 2))
    axes = figure.subplots()
    for position, (_, _, group) in enumerate(rows):
        _stack(axes, position, group)
    axes.set_yticks(
        range(len(rows)), [f"{label} ({count_runs(group)})" for _, label, group in rows]
    )
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.12)
    finish(axes, title="Rejected steps by phase", x="rejections per batch, mean over seeds")
    if rows:
        handles, labels = axes.get_legend_handles_labels()
        unique = dict(zip(labels, handles, strict=True))
        columns = fitting_columns(figure, list(unique))
        figure.legend(list(unique.values()), list(unique), loc="outside upper left", ncols=columns)
    caption(figure, "Whiskers: smallest to largest total of a seed.")
    return figure


def _stack(axes: Axes, position: int, group: pd.DataFrame) -> None:
    left = 0.0
    for phase, (name, color, hatch) in PHASES.items():
        mean = rejections_by_run(group, f"rejections_{phase}").mean()
        axes.barh(
            position,
            mean,
            left=left,
            height=0.62,
            color=color,
            hatch=hatch,
            edgecolor="#33475B",
            linewidth=0.5,
            label=name,
        )
        left += mean
    total = rejections_by_run(group, "rejections")
    whiskers = [[max(0.0, left - total.min())], [max(0.0, total.max() - left)]]
    axes.errorbar(left, position, xerr=whiskers, color="#222222", capsize=3, elinewidth=1.0)
    axes.annotate(
        f"{left:.2f}",
        (max(left, total.max()), position),
        xytext=(5, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
    )


def radius_figure(frame: pd.DataFrame) -> Figure:
    """Draw how the trust-region radius at the end of epochs is distributed, a panel per method.

    Args:
        frame: Frame of `napts.analysis.epochs_frame`, of one experiment and workload.

    Returns:
        The figure: for each span of epochs the median, the quartiles and the range over the seeds
        and the epochs of the span; one scale for all panels. Methods whose radius never changes
        are named below.
    """
    rows, constant = changing(with_radius(frame), "radius")
    columns = max(1, min(4, len(rows)))
    lines = max(1, -(-len(rows) // columns))
    figure = new_figure(max(5.0, 2.4 * columns), 0.7 + 2.1 * lines)
    panels = figure.subplots(lines, columns, sharey=True, squeeze=False).ravel()
    look = looks(frame)
    for axes, (label, group) in zip(panels, rows, strict=False):
        _distribution(axes, trained(group), look[label].color)
        finish(axes, title=f"{label} ({count_runs(group)})", x="epoch")
    for axes in panels[len(rows) :]:
        axes.set_visible(False)
    # The panels share their vertical axis, so that one of them sets the scale of all.
    radii = [floats(trained(group), "radius") for _, group in rows]
    values = np.concatenate(radii or [np.ones(1)])
    log = ", log scale" if log_if_wide(panels[0], "y", values) else ""
    low, high = values.min(), values.max()
    panels[0].set_ylim(*((low / 1.4, 1.4 * high) if log else (0.95 * low, 1.05 * high)))
    for axes in panels[::columns]:
        axes.set_ylabel(f"radius{log}")
    caption(
        figure,
        "Radius at the end of epochs, over seeds and, where there are many, over neighbouring "
        f"epochs. Bar: quartiles; line: range; white: median.{constant}",
    )
    return figure


def with_radius(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of an epochs frame that have a radius."""
    return rows_where(frame, np.isfinite(floats(frame, "radius")))


def changing(frame: pd.DataFrame, column: str) -> tuple[list[tuple[str, pd.DataFrame]], str]:
    """Return the labels whose values change, with their rows, and a sentence on the others.

    Args:
        frame: Frame of `napts.analysis.epochs_frame`, without rows that have no value.
        column: The quantity.
    """
    rows, constant = [], []
    for _, label, group in grouped(frame):
        values = floats(trained(group), column)
        values = values[np.isfinite(values)]
        if len(values) and values.min() < values.max():
            rows.append((label, group))
        elif len(values):
            constant.append(f"{label} ({values[0]:g})")
    return rows, f" Without change, and not drawn: {', '.join(constant)}." if constant else ""


def _distribution(axes: Axes, group: pd.DataFrame, color: str) -> None:
    epochs, radii = floats(group, "epoch"), floats(group, "radius")
    ends = np.unique(epochs)
    for span in np.array_split(ends, min(len(ends), RADIUS_SPANS)):
        inside = radii[(epochs >= span[0]) & (epochs <= span[-1])]
        low, lower, middle, upper, high = np.percentile(inside, (0, 25, 50, 75, 100))
        place = (span[0] + span[-1]) / 2
        width = 0.6 * (span[-1] - span[0] + 1)
        axes.vlines(place, low, high, color=color, linewidth=1.0)
        axes.bar(place, upper - lower, width, bottom=lower, color=color, alpha=0.85, linewidth=0)
        axes.hlines(middle, place - width / 2, place + width / 2, color="#222222", linewidth=2.6)
        axes.hlines(middle, place - width / 2, place + width / 2, color="white", linewidth=1.2)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=2))


SHARES = {
    "acceptance_rate": "Batches with an accepted step",
    "nonmonotone_rate": "Batches accepted by the memory alone",
}
"""Columns of the acceptance figure, and the titles of its panels."""


def has_changing_shares(frame: pd.DataFrame) -> bool:
    """Tell whether there is anything to see in the acceptance figure."""
    trusting = with_trust_region(frame)
    return any(changing(trusting, column)[0] for column in SHARES)


def acceptance_figure(frame: pd.DataFrame) -> Figure:
    """Draw the share of batches that moved the parameters, and of those only the memory let move.

    Shares that never change are named below, and have no panel if no method's does.

    Args:
        frame: Frame of `napts.analysis.epochs_frame`, of one experiment and workload.
    """
    trusting = with_trust_region(frame)
    found = {column: changing(trusting, column) for column in SHARES}
    drawn = {column: [label for label, _ in rows] for column, (rows, _) in found.items() if rows}
    labels = list(dict.fromkeys(label for each in drawn.values() for label in each))
    kept = rows_with(trusting, "label", labels)
    courses = [
        Course(SHARES[column], "epoch", "epoch", column, "share / %", 100, False, True, (-2, 102))
        for column in drawn
    ]
    # What never changes would lie on the frame of a panel.
    shown = kept.assign(
        **{
            column: np.where(np.isin(texts(kept, "label"), each), floats(kept, column), np.nan)
            for column, each in drawn.items()
        }
    )
    figure, _, quartiles = course_figure(shown, courses, looks(frame))
    several = len(groups_of(shown)) > 1
    words = [f"{SHARES[column]}:{text}" for column, (_, text) in found.items() if text]
    caption(
        figure,
        "By the memory alone: steps that the loss on the current batch would have rejected, "
        f"eq. (9). {lines_and_bands(quartiles, several)}{thin_lines(trusting)} {' '.join(words)}",
    )
    return figure


def rejections_by_run(group: pd.DataFrame, column: str) -> Floats:
    """Return a total of the epochs per batch over the whole run, one value per seed.

    Args:
        group: Rows of one label, without epoch 0.
        column: A total of the epochs frame, for example ``"rejections_global"``.
    """
    runs = split(group, "seed")
    return np.array([floats(run, column).sum() / floats(run, "batches").sum() for run in runs])
