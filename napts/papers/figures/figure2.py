"""Figure 2 of the NAPTS paper: loss and accuracy by epoch on the left, rejections on the right.

The paper draws loss and accuracy into one panel with two scales. Seven methods cannot be told
apart there, so that they have a panel each here, one above the other.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from napts.analysis import Section
from napts.analysis.columns import rows_with, trained, with_trust_region
from napts.analysis.labels import grouped
from napts.analysis.measured import metric_of
from napts.plotting.annotate import caption, legend, thin_lines
from napts.plotting.compare import rejections_by_run
from napts.plotting.curves import band, log_if_wide, whole_numbers
from napts.plotting.drawings import RUN, Drawing, Plot, comparison_drawings
from napts.plotting.style import Look, finish, looks, new_figure

PAPERS = ("TR", "NTR", "APTS", "APTSA", "NAPTS", "Adam", "SGD")
"""The methods of the paper's figure."""


_MEANS = "Lines and bars: mean over seeds; bands and whiskers: smallest to largest seed."


def figure2(frame: pd.DataFrame, *, narrow: bool = False) -> Figure:
    """Draw the paper's Figure 2 from the records of one experiment.

    Where the five methods of the paper have runs under their own names, further variants and
    methods are left to the other figures.

    Args:
        frame: Frame of `napts.analysis.epochs_frame`, of one experiment and workload.
        narrow: One panel above the other, for small screens.

    Returns:
        The figure: mean training loss and the metric on validation data (the paper's is accuracy)
        by epoch, rejected steps per batch by epoch and over the whole run, where a method has a
        trust region; bands and whiskers from the smallest to the largest seed.
    """
    frame, left_out = _of_the_paper(frame)
    look, metric, trusting = looks(frame), metric_of(frame), with_trust_region(frame)
    rows = 2 if len(trusting) else 1
    figure = new_figure(4.2, 5.5 * rows) if narrow else new_figure(9.6, 3.0 * rows)
    panels = figure.subplots(2 * rows, 1) if narrow else figure.subplots(rows, 2).T
    loss, other, *rejections = np.asarray(panels).ravel()

    band(loss, frame, "epoch", "train_loss", look)
    logarithmic = ", log scale" if log_if_wide(loss, "y") else ""
    finish(loss, title="Training loss", x="epoch", y=f"mean loss per sample{logarithmic}")
    # Without the untrained network, whose value would squeeze all others together.
    band(other, frame, "epoch", metric.column("val"), look, scale=metric.scale)
    logarithmic = ", log scale" if not metric.fraction and log_if_wide(other, "y") else ""
    finish(other, title=f"Validation {metric.label}", x="epoch", y=f"{metric.axis}{logarithmic}")
    for axes in (loss, other):
        whole_numbers(axes)
    if rejections:
        _rejections(rejections, trusting, look)
    legend(figure, frame, look)
    caption(
        figure,
        f"{_MEANS if rejections else 'Lines: mean over seeds; bands: smallest to largest seed.'} "
        f"Cross: last epoch of a run that failed or diverged.{thin_lines(frame)}{left_out}",
    )
    return figure


def _of_the_paper(frame: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Return the rows of the paper's methods, if all are there, and a sentence on the others."""
    labels = list(dict.fromkeys(frame["label"].tolist()))
    if not set(PAPERS[:5]) <= set(labels):
        return frame, ""
    others = [label for label in labels if label not in PAPERS]
    sentence = f" Not drawn here: {', '.join(others)}." if others else ""
    return rows_with(frame, "label", PAPERS), sentence


def _rejections(panels: Sequence[Axes], frame: pd.DataFrame, look: Mapping[str, Look]) -> None:
    by_epoch, overall = panels
    band(by_epoch, frame, "epoch", "rejections_per_batch", look)
    finish(by_epoch, title="Rejected steps by epoch", x="epoch", y="rejections per batch")
    by_epoch.set_ylim(bottom=0)
    whole_numbers(by_epoch)
    _bars(overall, trained(frame), look)


def _bars(axes: Axes, frame: pd.DataFrame, look: Mapping[str, Look]) -> None:
    """Rejections per batch over the whole run, one bar per trust-region method."""
    rows = [(label, rejections_by_run(group, "rejections")) for _, label, group in grouped(frame)]
    for position, (label, values) in enumerate(rows):
        mean = values.mean()
        whiskers = [[mean - values.min()], [values.max() - mean]]
        axes.barh(
            position,
            mean,
            xerr=whiskers,
            color=look[label].color,
            height=0.66,
            error_kw={"elinewidth": 1.0, "capsize": 2.5, "ecolor": "#333333"},
        )
        axes.annotate(
            f"{mean:#.2g}",
            (values.max(), position),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    axes.set_yticks(range(len(rows)), [label for label, _ in rows])
    axes.invert_yaxis()
    axes.margins(x=0.14)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
    axes.grid(visible=False, axis="y")
    finish(axes, title="Rejected steps over the whole run", x="rejections per batch")


def figure2_drawings(section: Section) -> Iterator[Drawing]:
    """Yield the figure of a comparison."""
    return comparison_drawings(section, [_PLOT])


_PLOT = Plot(
    "figure2",
    figure2,
    "Loss, {metric} and rejected steps",
    (*RUN, "train_loss", "val_{metric}", "rejections", "rejections_per_batch"),
)
