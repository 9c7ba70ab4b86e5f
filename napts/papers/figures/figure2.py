"""Figure 2 of the NAPTS paper: loss and accuracy by epoch on the left, rejections on the right.

The paper draws loss and accuracy into one panel with two scales. Seven methods cannot be told
apart there, so that they have a panel each here, one above the other.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from napts.analysis import Section
from napts.analysis.columns import rows_with, texts, trained, with_trust_region
from napts.analysis.labels import grouped
from napts.analysis.measured import metric_of
from napts.papers.epoch_times import WORKLOAD
from napts.plotting.annotate import caption, thin_lines
from napts.plotting.compare import rejections_by_run
from napts.plotting.courses import Course, course_figure, groups_of, lines_and_bands
from napts.plotting.curves import ABORTED, in_spans
from napts.plotting.drawings import RUN, Drawing, Plot, comparison_drawings
from napts.plotting.style import Look, finish, looks

PAPERS = ("TR", "NTR", "APTS", "APTSA", "NAPTS", "Adam", "SGD")
"""The methods of the paper's figure."""


def figure2(frame: pd.DataFrame) -> Figure:
    """Draw the paper's Figure 2 from the records of one experiment.

    Where the five methods of the paper have runs under their own names, further variants and
    methods are left to the other figures.

    Args:
        frame: Frame of `napts.analysis.epochs_frame`, of one experiment and workload.

    Returns:
        The figure: training loss and the metric on validation data (the paper's is accuracy) by
        epoch, rejected steps per batch by epoch and, where one legend holds all methods, over the
        whole run; the latter two where a method has a trust region.
    """
    frame, left_out = _of_the_paper(frame)
    look, metric, trusting = looks(frame), metric_of(frame), with_trust_region(frame)
    value, log = metric.column("val"), not metric.fraction
    by_epoch = [
        # Without the untrained network, whose value would squeeze all others together.
        Course("Training loss", "epoch", "epoch", "train_loss", "mean loss per sample", whole=True),
        Course(
            f"Validation {metric.label}",
            "epoch",
            "epoch",
            value,
            metric.axis,
            metric.scale,
            log,
            True,
        ),
    ]
    if len(trusting):
        by_epoch.append(_REJECTIONS)
    several = len(groups_of(frame)) > 1
    bars = len(trusting) > 0 and not several
    courses = [*by_epoch, *([_BARS] if bars else [])]
    shown, spans = in_spans(frame, [_REJECTIONS.y])
    figure, panels, quartiles = course_figure(shown, courses, look)
    for axes in panels.get(_REJECTIONS.title, []):
        axes.set_ylim(bottom=0)
    if bars:
        (axes,) = panels[_BARS.title]
        axes.clear()
        _bars(axes, trained(trusting), look)
    spans = spans.replace("Each point", "Rejected steps by epoch") if len(trusting) else ""
    whiskers = " Bars: mean, whiskers: smallest to largest seed." if bars else ""
    crosses = ""
    if set(texts(frame, "state")) & set(ABORTED):
        crosses = " Cross: last epoch of a run that failed or diverged."
    caption(
        figure,
        f"{lines_and_bands(quartiles, several)}{spans}{whiskers}{crosses}{thin_lines(frame)}"
        f"{left_out}",
    )
    return figure


_REJECTIONS = Course(
    "Rejected steps by epoch",
    "epoch",
    "epoch",
    "rejections_per_batch",
    "rejections per batch",
    log=False,
    whole=True,
)
_BARS = replace(_REJECTIONS, title="Rejected steps over the whole run")


def _of_the_paper(frame: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Return the rows of the paper's methods, if all are there, and a sentence on the others."""
    labels = list(dict.fromkeys(frame["label"].tolist()))
    if not set(PAPERS[:5]) <= set(labels):
        return frame, ""
    others = [label for label in labels if label not in PAPERS]
    sentence = (
        f" Not drawn, since not in the paper's figure: {', '.join(others)}." if others else ""
    )
    if WORKLOAD in texts(frame, "workload"):
        sentence += (
            " The paper's Figure 2 has loss and accuracy in one panel with two scales, and 50 "
            "epochs; the records have fewer."
        )
    return rows_with(frame, "label", PAPERS), sentence


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
    papers = any(run.method in PAPERS[:5] for run in section.records)
    plot = _PLOT if papers else replace(_PLOT, rank=3)
    if not len(with_trust_region(section.epochs)):
        plot = replace(plot, title="Loss and {metric} by epoch")
    return comparison_drawings(section, [plot])


_PLOT = Plot(
    "figure2",
    figure2,
    "Loss, {metric} and rejected steps",
    (*RUN, "train_loss", "val_{metric}", "rejections", "rejections_per_batch"),
    rank=1,
)
