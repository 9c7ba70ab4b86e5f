"""Figures of the papers on APTS in weights and APTS in data (2023)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from napts.analysis import Section
from napts.analysis.columns import floats, rows_with
from napts.analysis.labels import distinct_labels
from napts.papers.published import Published, published_for
from napts.plotting.annotate import caption, legend, thin_lines
from napts.plotting.curves import band, log_if_wide, whole_numbers
from napts.plotting.drawings import RUN, Drawing
from napts.plotting.style import Dashes, Look, finish, looks, new_figure
from napts.records.metric import ACCURACY

DIVIDED = {"APTSW": "subdomains", "APTSD": "shards"}
"""The methods and what their numbers of parts are called."""

_COLORS = {
    "APTSW": ("#E69F00", "#D55E00", "#7A4B00", "#CC79A7", "#882255"),
    "APTSD": ("#88CCEE", "#0072B2", "#332288", "#44AA99", "#117733"),
}
"""By number of parts, the fewest first: warm in weights, cool in data."""
_DASHES: dict[int, Dashes] = {1: "-", 2: (0, (4, 1.5))}


def has_any(section: Section) -> bool:
    """Tell whether a section has runs of APTS in weights or in data, compared by accuracy."""
    return section.metric == ACCURACY and any(run.method in DIVIDED for run in section.records)


def has_both_kinds(section: Section) -> bool:
    """Tell whether APTS in weights was run with forced decrease and without."""
    return {_settings(run.spec)[2] for run in section.records if run.method == "APTSW"} == {0, 1}


def weights_and_data_drawings(section: Section) -> Iterator[Drawing]:
    """Yield the figures of APTS in weights and in data, if a section has runs of them."""
    if not has_any(section):
        return
    columns = [*RUN, "train_loss", "val_accuracy"]
    figures = [("course", "Loss and accuracy beside published averages", course_figure)]
    if has_both_kinds(section):
        title = "Loss and accuracy without and with forced decrease"
        figures.insert(0, ("weights", title, weights_figure))
    for name, title, draw in figures:
        yield Drawing(
            f"{name}-{section.slug}",
            title,
            section,
            section.epochs.filter(items=columns),
            lambda narrow, draw=draw: draw(section, narrow=narrow),
        )


def weights_figure(section: Section, *, narrow: bool = False) -> Figure:
    """Draw loss and accuracy without and with forced decrease, four panels.

    Figure 1 of APTS in weights (arXiv 2312.13677), as far as its text tells what it shows: its
    pictures could not be recovered.

    Args:
        section: One experiment that has both kinds of runs.
        narrow: One panel above the other, for small screens.
    """
    figure = new_figure(4.2, 12.0) if narrow else new_figure(9.6, 6.6)
    panels = np.asarray(figure.subplots(4, 1) if narrow else figure.subplots(2, 2).T)
    columns = [list(column) for column in panels.reshape(2, 2)]
    look = part_looks(section)
    without, forced = _by_forced_decrease(section)
    averages = published_for(section)
    for pair, labels, title in zip(
        columns,
        (without, forced),
        ("without forced decrease", "with forced decrease"),
        strict=True,
    ):
        frame = rows_with(section.epochs, "label", labels)
        _course(pair, frame, look, {k: v for k, v in averages.items() if k in labels}, title)
    for row in zip(*columns, strict=True):
        _share_limits(row)
    _finish(figure, rows_with(section.epochs, "label", without), look, averages, forced=True)
    return figure


def course_figure(section: Section, *, narrow: bool = False) -> Figure:
    """Draw loss and accuracy by epoch, two panels.

    Figure 2 of APTS in weights (arXiv 2312.13677) and the figures of the slides on APTS in weights
    and in data, likewise.

    Args:
        section: One experiment.
        narrow: One panel above the other, for small screens.
    """
    figure = new_figure(4.2, 6.8) if narrow else new_figure(9.6, 3.9)
    panels = list(figure.subplots(2, 1) if narrow else figure.subplots(1, 2))
    look, averages = part_looks(section), published_for(section)
    _course(panels, section.epochs, look, averages)
    _finish(figure, section.epochs, look, averages, forced=False)
    return figure


def part_looks(section: Section) -> dict[str, Look]:
    """Return the looks of a section: colour by method and number of parts, dashes by order.

    Args:
        section: One experiment.
    """
    found = looks(section.epochs)
    counts = {
        method: sorted({_settings(run.spec)[0] for run in section.records if run.method == method})
        for method in DIVIDED
    }
    for label, spec in _specs(section).items():
        count, order, forced = _settings(spec)
        if (method := spec["optimizer"]["method"]) in DIVIDED:
            colors = _COLORS[method]
            color = colors[counts[method].index(count) % len(colors)]
            marker = "s" if forced else "o" if method == "APTSW" else "X"
            found[label] = Look(color, _DASHES[order], marker)
        elif order == 2:
            found[label] = Look(found[label].color, _DASHES[order], found[label].marker)
    return found


def _settings(spec: Mapping[str, Any]) -> tuple[int, int, bool]:
    """Return the number of parts, the order and whether decrease is forced."""
    options = spec["optimizer"]
    count = options.get(DIVIDED.get(options["method"], ""), 0)
    return count, options.get("order", 1), bool(options.get("forced_decrease", False))


def _specs(section: Section) -> dict[str, Mapping[str, Any]]:
    labels = distinct_labels(section.records)
    return {label: run.spec for run, label in zip(section.records, labels, strict=True)}


def _by_forced_decrease(section: Section) -> tuple[list[str], list[str]]:
    """Return the labels of either column; what has no such choice stands in both."""
    specs = _specs(section)
    chosen = {
        label: _settings(spec)[2] if spec["optimizer"]["method"] == "APTSW" else None
        for label, spec in specs.items()
    }
    without = [label for label, forced in chosen.items() if forced is not True]
    return without, [label for label, forced in chosen.items() if forced is not False]


def _course(
    panels: Sequence[Axes],
    frame: pd.DataFrame,
    look: Mapping[str, Look],
    averages: Mapping[str, Published],
    title: str = "",
) -> None:
    """Draw loss and accuracy, and the published averages to the right of them."""
    suffix = f", {title}" if title else ""
    loss, accuracy = panels
    band(loss, frame, "epoch", "train_loss", look)
    logarithmic = ", log scale" if log_if_wide(loss, "y") else ""
    finish(loss, title=f"Training loss{suffix}", x="epoch", y=f"mean loss{logarithmic}")
    band(accuracy, frame, "epoch", "val_accuracy", look, scale=100)
    finish(accuracy, title=f"Validation accuracy{suffix}", x="epoch", y="accuracy / %")
    for axes in panels:
        whole_numbers(axes)
    if len(frame):
        right = 1.05 * floats(frame, "epoch").max()
        _beside(loss, right, {label: a.loss for label, a in averages.items()}, look)
        _beside(accuracy, right, {label: a.accuracy for label, a in averages.items()}, look)


def _beside(
    axes: Axes, right: float, values: Mapping[str, float | None], look: Mapping[str, Look]
) -> None:
    """Mark numbers to the right of the curves, open where the curves' marks are filled."""
    for label, value in values.items():
        if value is not None:
            axes.plot(
                [right],
                [value],
                marker="D",
                markersize=5,
                markerfacecolor="none" if look[label].dashes == "-" else look[label].color,
                markeredgecolor=look[label].color,
                linestyle="none",
                clip_on=False,
            )


def _share_limits(panels: Sequence[Axes]) -> None:
    limits = [panel.get_ylim() for panel in panels]
    for panel in panels:
        panel.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))


def _finish(
    figure: Figure,
    frame: pd.DataFrame,
    look: Mapping[str, Look],
    averages: Mapping[str, Published],
    *,
    forced: bool,
) -> None:
    legend(figure, frame, look)
    caption(figure, " ".join(_sentences(averages, thin_lines(frame), forced=forced)))


def _sentences(averages: Mapping[str, Published], thin: str, *, forced: bool) -> Iterator[str]:
    yield f"Lines: mean over seeds; bands: worst to best run.{thin}"
    if forced:
        yield (
            "The legend names the runs without forced decrease, those with it look alike; methods "
            "without that choice stand in both columns."
        )
    if averages:
        epochs = " or ".join(str(e) for e in sorted({a.epochs for a in averages.values()}))
        yield (
            f"Diamonds on the right: the authors' published averages (test accuracy) after "
            f"{epochs} epochs, filled for order 2; settings may differ."
        )
