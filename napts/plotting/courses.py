"""Panels of curves, in columns of few methods each where there are too many for one legend."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from napts.analysis.columns import floats, rows_where, rows_with
from napts.analysis.labels import grouped
from napts.plotting.annotate import handles, legend
from napts.plotting.curves import band, dominated, log_if_wide, whole_numbers
from napts.plotting.style import Look, finish, new_figure

MOST = 7
"""Entries of a legend at most."""

WIDTH = 9.6
"""Width of a figure in inches; more columns make it wider."""

_COLUMN = 3.1
_SMALL = 7.0
_BESIDE = 0.045
"""Width of a letter of a small legend in inches, roughly."""


@dataclass(frozen=True)
class Course:
    """What one panel shows, of every method.

    Attributes:
        title: Its title.
        x: Column of the horizontal axis.
        x_label: Its label.
        y: Column of the vertical axis.
        y_label: Its label.
        scale: Factor applied to ``y``, 100 for percentages.
        log: The vertical axis is logarithmic where the values span a wide range.
        whole: The horizontal axis has whole numbers.
        limits: Ends of the vertical axis, if they are fixed.
    """

    title: str
    x: str
    x_label: str
    y: str
    y_label: str
    scale: float = 1.0
    log: bool = True
    whole: bool = False
    limits: tuple[float, float] | None = None


@dataclass(frozen=True)
class Group:
    """Methods that share a legend.

    Attributes:
        labels: Their labels.
        title: What they have in common, if that has a name.
    """

    labels: tuple[str, ...]
    title: str = ""


def groups_of(frame: pd.DataFrame) -> list[Group]:
    """Return the labels of a frame in groups of at most `MOST`, of about the same size.

    Args:
        frame: A frame with the columns ``method`` and ``label``.
    """
    labels = [label for _, label, _ in grouped(frame)]
    parts = np.array_split(np.array(labels, dtype=object), max(1, -(-len(labels) // MOST)))
    return [Group(tuple(map(str, part))) for part in parts]


def course_figure(
    frame: pd.DataFrame,
    courses: Sequence[Course],
    looks: Mapping[str, Look],
    *,
    across: int = 2,
    groups: Sequence[Group] = (),
    height: float = 2.7,
) -> tuple[Figure, dict[str, list[Axes]], bool]:
    """Draw curves over seeds.

    Args:
        frame: Frame of `napts.analysis.epochs_frame`, of one section.
        courses: What the panels show.
        looks: Look per label.
        across: Panels side by side, where one legend holds all methods.
        groups: Methods that share a legend; by default `groups_of` the frame. Where there are
            several, each has a column, and the others stand behind in grey.
        height: Height of a panel in inches.

    Returns:
        The figure, its panels by the courses' titles, and whether it shows medians and quartiles
        instead of means and ranges.
    """
    groups = list(groups or groups_of(frame))
    quartiles = dominated(frame, list(dict.fromkeys(course.y for course in courses)))
    several = len(groups) > 1
    columns = [name for course in courses for name in (course.x, course.y)]
    kept = dict.fromkeys(["label", "method", "seed", "state", "epoch", *columns])
    frame = frame.filter(items=list(kept))  # far smaller, and so far faster
    figure, panels = panel_grid(len(courses), groups, across=across, height=height)
    for course, row in zip(courses, panels, strict=True):
        for group, axes in zip(groups, row, strict=True):
            shown = group.labels if several else None
            named = {"quartiles": quartiles, "shown": shown, "scale": course.scale}
            band(axes, frame, course.x, course.y, looks, **named)
        _axes(course, row, frame, several)
        # The first panel of a row has its title, those of the first row have the legends.
        for group, axes in list(zip(groups, row, strict=True))[1:] if row is not panels[0] else []:
            if not _has_values(frame, course, group):
                axes.set_visible(False)
    put_legends(figure, panels[0], frame, groups, looks)
    by_title: dict[str, list[Axes]] = {}
    for course, row in zip(courses, panels, strict=True):
        by_title.setdefault(course.title, []).extend(row)
    return figure, by_title, quartiles


def panel_grid(
    count: int, groups: Sequence[Group], *, across: int, height: float, share_x: bool = True
) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure and its panels: for each of its subjects a row of one panel for each group.

    Args:
        count: Number of subjects.
        groups: The groups; where there is only one, ``across`` subjects stand side by side.
        across: See ``groups``.
        height: Height of a panel in inches.
        share_x: The panels of a row have the same horizontal axis.
    """
    if len(groups) == 1:
        across = min(across, count)
        rows = -(-count // across)
        figure = new_figure(WIDTH, 0.9 + height * rows)
        panels = np.ravel(np.asarray(figure.subplots(rows, across, squeeze=False)))
        for axes in panels[count:]:
            axes.set_visible(False)
        return figure, [[axes] for axes in panels[:count]]
    figure = new_figure(max(WIDTH, _COLUMN * len(groups)), 1.5 + 0.85 * height * count)
    share = "row" if share_x else False
    grid = figure.subplots(count, len(groups), squeeze=False, sharex=share, sharey="row")
    return figure, [list(row) for row in np.asarray(grid)]


def put_legends(
    figure: Figure,
    top: Sequence[Axes],
    frame: pd.DataFrame,
    groups: Sequence[Group],
    looks: Mapping[str, Look],
) -> None:
    """Name the methods: above the figure, or above each column if there are several groups.

    Args:
        figure: The figure.
        top: The panels of its first row.
        frame: The frame that is drawn.
        groups: The groups.
        looks: Look per label.
    """
    if len(groups) == 1:
        legend(figure, frame, looks)
        return
    named = {
        str(handle.get_label()).rpartition(" (")[0]: handle for handle in handles(frame, looks)
    }
    room = figure.get_figwidth() / len(groups)
    for axes, group in zip(top, groups, strict=True):
        entries = [named[label] for label in group.labels if label in named]
        widest = max((len(str(entry.get_label())) for entry in entries), default=0)
        two = 2 * (_BESIDE * widest + 0.42) < room and len(entries) > 1
        axes.legend(
            handles=entries,
            loc="lower left",
            bbox_to_anchor=(-0.02, 1.14),
            borderaxespad=0.0,
            ncols=2 if two else 1,
            fontsize=_SMALL,
            title=group.title or None,
            title_fontproperties={"size": _SMALL + 1, "weight": "bold"},
            alignment="left",
            columnspacing=0.9,
            handlelength=1.8,
        )


def _axes(course: Course, row: Sequence[Axes], frame: pd.DataFrame, several: bool) -> None:
    """Scale and name the axes of a row, whose panels show the same rows in other colours."""
    x, y = _values(frame, course)
    suffixes = [
        ", log scale" if wide else ""
        for wide in (
            not course.whole and log_if_wide(row[0], "x", x),
            course.log and log_if_wide(row[0], "y", y),
        )
    ]
    for place, axes in enumerate(row):
        first = place == 0
        y_label = f"{course.y_label}{suffixes[1]}" if first else ""
        finish(axes, title=course.title if first else "", x=course.x_label + suffixes[0], y=y_label)
        if course.whole:
            whole_numbers(axes)
        elif several and not suffixes[0]:
            axes.xaxis.set_major_locator(MaxNLocator(nbins=4))
        if course.limits is not None:
            axes.set_ylim(*course.limits)


def _has_values(frame: pd.DataFrame, course: Course, group: Group) -> bool:
    return len(_values(rows_with(frame, "label", group.labels), course)[1]) > 0


def _values(frame: pd.DataFrame, course: Course) -> tuple[np.ndarray, np.ndarray]:
    """Return the coordinates of what is drawn, untrained networks left out."""
    columns = floats(frame, course.x), course.scale * floats(frame, course.y)
    drawn = (floats(frame, "epoch") > 0) & np.isfinite(columns[0]) & np.isfinite(columns[1])
    rows = rows_where(frame, drawn)
    return floats(rows, course.x), course.scale * floats(rows, course.y)


def lines_and_bands(quartiles: bool, several: bool = False) -> str:
    """Return a sentence on what lines and bands are.

    Args:
        quartiles: Medians and quartiles are drawn.
        several: Other groups stand behind in grey.
    """
    what = (
        "Lines: median over seeds; bands: quartiles, since one seed alone would make the range."
        if quartiles
        else "Lines: mean over seeds; bands: smallest to largest seed."
    )
    return f"{what} Grey: the methods of the other columns." if several else what
