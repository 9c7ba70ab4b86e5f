"""Figures that compare methods by cost: seconds, passes, rejected and accepted steps, radius."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from napts.analysis.columns import (
    Floats,
    floats,
    rows_where,
    split,
    texts,
    trained,
    with_trust_region,
)
from napts.analysis.labels import grouped
from napts.analysis.measured import metric_of
from napts.plotting.annotate import caption, count_runs, fitting_columns, legend, thin_lines
from napts.plotting.curves import (
    ABORTED,
    band,
    cross,
    curve,
    last_of_all,
    log_if_wide,
    whole_numbers,
)
from napts.plotting.style import PHASES, finish, looks, new_figure

CLOCKS = {
    "train_seconds_total": "training time / s",
    "pass_equivalents_total": "forward-backward passes",
}
"""Columns of the horizontal axes and their labels."""


def cost_figure(frame: pd.DataFrame, *, narrow: bool = False) -> Figure:
    """Draw loss and metric against training time and against passes through the network.

    Args:
        frame: Frame of `napts.analysis.epochs_frame`, of one experiment and workload.
        narrow: One panel above the other, for small screens.

    Returns:
        The figure. Seconds are those of training alone. A forward counts as 1/3 and a backward
        as 2/3 of a pass, local passes of all subdomains together as one, or as the share of the
        batch that they use.
    """
    figure = new_figure(4.2, 11.0) if narrow else new_figure(9.6, 6.0)
    panels = np.asarray(figure.subplots(4, 1) if narrow else figure.subplots(2, 2).T).ravel()
    look, metric = looks(frame), metric_of(frame)
    for clock, label in CLOCKS.items():
        loss, other = panels[:2] if clock == "train_seconds_total" else panels[2:]
        band(loss, frame, clock, "train_loss", look)
        band(other, frame, clock, metric.column("val"), look, scale=metric.scale)
        suffixes = [", log scale" if log_if_wide(axes, "x") else "" for axes in (loss, other)]
        finish(loss, title="Training loss", x=label + suffixes[0])
        log = ", log scale" if log_if_wide(loss, "y") else ""
        loss.set_ylabel(f"mean loss per sample{log}")
        finish(other, title=f"Validation {metric.label}", x=label + suffixes[1])
        # A fraction keeps its plain axis, on which its shares can be compared.
        log = ", log scale" if not metric.fraction and log_if_wide(other, "y") else ""
        other.set_ylabel(f"{metric.axis}{log}")
    legend(figure, frame, look)
    parts = "local_fraction" in frame and min(frame["local_fraction"].tolist(), default=1) < 1
    caption(
        figure,
        "Lines: mean over seeds, one point per epoch; bands: smallest to largest seed. "
        "A forward counts 1/3, a backward 2/3, the local passes of all subdomains "
        + ("their share of the batch." if parts else "1.")
        + thin_lines(frame),
    )
    return figure


def rejection_figure(frame: pd.DataFrame, *, narrow: bool = False) -> Figure:
    """Draw the rejected steps per batch by the phase in which they were rejected.

    Args:
        frame: Frame of `napts.analysis.epochs_frame`, of one experiment and workload.
        narrow: For small screens.

    Returns:
        The figure: stacked bars of the means over seeds, a whisker for the range of the total.
    """
    training = trained(with_trust_region(frame))
    rows = grouped(training)
    width = 4.2 if narrow else 7.2
    figure = new_figure(width, 1.5 + 0.36 * max(len(rows), 2) + (0.5 if narrow else 0.0))
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
        figure.legend(
            list(unique.values()), list(unique), loc="outside upper center", ncols=columns
        )
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


def radius_figure(frame: pd.DataFrame, *, narrow: bool = False) -> Figure:
    """Draw the trust-region radius at the end of every epoch, one panel per method.

    Args:
        frame: Frame of `napts.analysis.epochs_frame`, of one experiment and workload.
        narrow: Two panels in a row, for small screens.

    Returns:
        The figure: a thin line per seed, a thick one for the mean; one scale for all panels.
    """
    trusting = rows_where(frame, np.isfinite(floats(frame, "radius")))
    rows = grouped(trusting)
    columns = 2 if narrow else max(1, min(5, len(rows)))
    lines = max(1, -(-len(rows) // columns))
    figure = new_figure(4.2 if narrow else 9.6, 0.6 + 2.1 * lines)
    panels = figure.subplots(lines, columns, sharey=True, squeeze=False).ravel()
    look = looks(frame)
    for axes, (_, label, group) in zip(panels, rows, strict=False):
        for run in split(group, "seed"):
            axes.plot(floats(run, "epoch"), floats(run, "radius"), color=look[label].color, lw=0.8)
            if texts(run, "state")[0] in ABORTED:
                cross(axes, run, "epoch", "radius", look[label])
        mean = curve(group, "epoch", "radius", last_of_all(group))
        axes.plot(mean.x, mean.mean, color=look[label].color, lw=2.2)
        finish(axes, title=f"{label} ({count_runs(group)})", x="epoch")
    for index, axes in enumerate(panels):
        axes.set_visible(index < len(rows))
        whole_numbers(axes)
    # The panels share their vertical axis, so that one of them sets the scale of all.
    log = ", log scale" if log_if_wide(panels[0], "y", floats(trusting, "radius")) else ""
    for axes in panels[::columns]:
        axes.set_ylabel(f"radius{log}")
    caption(
        figure,
        "Trust-region radius at the end of every epoch. Thin lines: seeds; thick line: mean.",
    )
    return figure


def acceptance_figure(frame: pd.DataFrame, *, narrow: bool = False) -> Figure:
    """Draw the share of batches that moved the parameters, and of those only the memory let move.

    Args:
        frame: Frame of `napts.analysis.epochs_frame`, of one experiment and workload.
        narrow: One panel above the other, for small screens.
    """
    figure = new_figure(4.2, 6.4) if narrow else new_figure(9.6, 3.4)
    moved, past = figure.subplots(2, 1) if narrow else figure.subplots(1, 2)
    look = looks(frame)
    trusting = with_trust_region(frame)
    band(moved, trusting, "epoch", "acceptance_rate", look, scale=100)
    finish(moved, title="Batches with an accepted step", x="epoch", y="share / %")
    band(past, trusting, "epoch", "nonmonotone_rate", look, scale=100)
    finish(past, title="Batches accepted by the memory alone", x="epoch", y="share / %")
    for axes in (moved, past):
        whole_numbers(axes)
        axes.set_ylim(-2, 102)
    legend(figure, trusting, look)
    caption(
        figure,
        "Right: steps that the loss on the current batch would have rejected, eq. (9). "
        f"Lines: mean over seeds; bands: smallest to largest seed.{thin_lines(trusting)}",
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
