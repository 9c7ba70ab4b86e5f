"""Figures of multilevel training: loss by work, who did the work, how levels are visited."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from napts.analysis import Section
from napts.analysis.columns import floats, rows_where, split
from napts.analysis.labels import distinct_labels, grouped
from napts.papers.levels import has_levels
from napts.plotting.annotate import caption, thin_lines, what_points_are
from napts.plotting.courses import Course, course_figure, groups_of, lines_and_bands
from napts.plotting.drawings import RUN, Drawing
from napts.plotting.style import finish, looks, new_figure

WORK = {
    "work_units_total": "work units",
    "backwards_total": "gradients by operations",
    "train_seconds_total": "training time / s",
}
"""Columns of the horizontal axes, and their labels."""

METHOD = "RMTR"


def level_drawings(section: Section) -> Iterator[Drawing]:
    """Yield the figures of a section in which some method counts work by levels."""
    if not has_levels(section):
        return
    frame, shares, visits = section.epochs, shares_of(section.epochs), visits_of(section)
    yield Drawing(
        f"levels-{section.slug}",
        "Training loss by work",
        section,
        frame.filter(items=[*RUN, *WORK, "train_loss"]),
        lambda: loss_figure(frame),
    )
    yield Drawing(
        f"level-shares-{section.slug}",
        "Share of the work by level",
        section,
        shares,
        lambda: share_figure(shares),
        rank=1,
    )
    yield Drawing(
        f"cycles-{section.slug}",
        "How the levels are visited",
        section,
        visits,
        lambda: cycle_figure(visits),
        rank=3,
    )


def loss_figure(frame: pd.DataFrame) -> Figure:
    """Draw the training loss against work units, gradients by operations, and time.

    Args:
        frame: Frame of `napts.analysis.epochs_frame`, of one section.
    """
    courses = [
        Course(f"By {label.partition(' /')[0]}", clock, label, "train_loss", "training loss")
        for clock, label in WORK.items()
    ]
    figure, _, quartiles = course_figure(frame, courses, looks(frame), across=3)
    caption(
        figure,
        f"{lines_and_bands(quartiles, len(groups_of(frame)) > 1)} {what_points_are(frame)} "
        "A work unit is a gradient of the whole network on all samples; one of a shallower network "
        "counts by its share of the blocks, or of the operations. The loss of an F-cycle is that "
        "of the network that it trains then, a shallower one at first." + thin_lines(frame),
    )
    return figure


def shares_of(frame: pd.DataFrame) -> pd.DataFrame:
    """Return by label and level the share of the work units, a mean over the seeds.

    Args:
        frame: Frame of `napts.analysis.epochs_frame`, of one section.
    """
    names = [name for name in frame if str(name).startswith("work_level_")]
    totals = [str(name) for name in names if str(name).endswith("_total")]
    rows = []
    for _, label, group in grouped(rows_where(frame, frame["method"].to_numpy() == METHOD)):
        ends = np.array(
            [[floats(run, name)[-1] for name in totals] for run in split(group, "seed")]
        )
        spent = ends.sum(1, keepdims=True)
        shares = (ends / np.where(spent > 0.0, spent, 1.0)).mean(0)
        known = [name.removesuffix("_total") for name in totals]
        used = [name for name in known if np.isfinite(floats(group, name)).any()]
        rows += [
            {"label": label, "level": level, "share": float(share)}
            for level, (name, share) in enumerate(zip(known, shares, strict=True), 1)
            if name in used
        ]
    return pd.DataFrame(rows, columns=["label", "level", "share"])


def share_figure(shares: pd.DataFrame) -> Figure:
    """Draw one bar for each label, divided among the levels.

    Args:
        shares: From `shares_of`.
    """
    labels = list(dict.fromkeys(shares["label"]))[::-1]
    figure = new_figure(7.0, 1.6 + 0.32 * len(labels))
    axes = figure.subplots()
    most = int(floats(shares, "level").max()) if len(shares) else 1
    for place, label in enumerate(labels):
        left = 0.0
        own = shares[shares["label"] == label]
        for level, share in zip(own["level"], own["share"], strict=True):
            width = 100.0 * float(share)
            axes.barh(place, width, left=left, color=_shade(int(level), most), height=0.7)
            if width > 6.0:
                axes.text(left + width / 2, place, f"{level}", ha="center", va="center", size=8)
            left += width
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlim(0.0, 100.0)
    finish(axes, title="Share of the work by level", x="share of work units / %")
    caption(figure, "Numbers in the bars: the level, 1 the coarsest. Mean over seeds.")
    return figure


def _shade(level: int, most: int) -> tuple[float, ...]:
    return colormaps["Blues"](0.25 + 0.45 * (level - 1) / max(most - 1, 1))


def visits_of(section: Section) -> pd.DataFrame:
    """Return for each kind of cycle which levels are visited, one after the other.

    Args:
        section: The runs.
    """
    kinds = {}
    labels = distinct_labels(section.records)
    for run, label in zip(section.records, labels, strict=True):
        if run.method == METHOD:
            options = run.spec["optimizer"]
            kinds.setdefault(label, (options["levels"], options["cycle"]))
    rows = [
        {"label": label, "visit": visit, "level": level}
        for label, (levels, cycle) in sorted(kinds.items())
        for visit, level in enumerate(visits(levels, cycle))
    ]
    return pd.DataFrame(rows, columns=["label", "visit", "level"])


def visits(levels: int, cycle: str) -> list[int]:
    """Return the levels of a cycle in the order in which they are visited, 1 the coarsest.

    Args:
        levels: Their number.
        cycle: ``"V"``, ``"W"`` or ``"F"``, the latter with one cycle on each finest level.
    """
    if cycle == "F":
        return [level for finest in range(1, levels + 1) for level in visits(finest, "V")]
    if levels == 1:
        return [1]
    times = 2 if cycle == "W" and levels > 2 else 1
    return [levels, *[level for _ in range(times) for level in visits(levels - 1, cycle)], levels]


def cycle_figure(frame: pd.DataFrame) -> Figure:
    """Draw which level is visited when.

    Args:
        frame: From `visits_of`.
    """
    labels: Sequence[str] = list(dict.fromkeys(frame["label"]))
    across = min(3, max(len(labels), 1))
    down = -(-max(len(labels), 1) // across)
    figure = new_figure(9.6, 0.8 + 1.7 * down)
    panels = np.asarray(figure.subplots(down, across, squeeze=False)).ravel()
    for axes in panels[len(labels) :]:
        axes.set_axis_off()
    for axes, label in zip(panels, labels, strict=False):
        own = frame[frame["label"] == label]
        axes.plot(own["visit"], own["level"], marker="o", color="#0072B2")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xticks([])
        axes.set_ylim(0.5, floats(frame, "level").max() + 0.5)
        finish(axes, title=label, x="order of visits", y="level")
    caption(
        figure,
        "Level 1 is the coarsest network. Where the radius is used up, or the restricted gradient "
        "is too small, a cycle turns back earlier. Of F, one cycle on each finest level.",
    )
    return figure
