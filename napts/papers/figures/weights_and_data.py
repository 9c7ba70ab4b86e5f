"""Figures of the papers on APTS in weights and APTS in data (2023)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from napts.analysis import Section
from napts.analysis.columns import floats, rows_with
from napts.analysis.labels import distinct_labels, grouped
from napts.papers.published import Published, published_for
from napts.plotting.annotate import caption, thin_lines
from napts.plotting.courses import Course, Group, course_figure, groups_of, lines_and_bands
from napts.plotting.drawings import RUN, Drawing
from napts.plotting.style import Dashes, Look, looks
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
    if not has_any(section) or max(section.epochs["epoch"], default=0) < 2:
        return
    columns = [*RUN, "train_loss", "val_accuracy"]
    beside = " beside published averages" if published_for(section) else ""
    figures = [("course", f"Loss and accuracy{beside}", course_by_epoch)]
    if has_both_kinds(section):
        title = "Loss and accuracy without and with forced decrease"
        figures.insert(0, ("weights", title, weights_figure))
    for name, title, draw in figures:
        yield Drawing(
            f"{name}-{section.slug}",
            title,
            section,
            section.epochs.filter(items=columns),
            lambda draw=draw: draw(section),
            rank=2 if name == "course" and len(figures) > 1 else 0,
        )


def weights_figure(section: Section) -> Figure:
    """Draw loss and accuracy without and with forced decrease, and of the other methods.

    Figure 1 of APTS in weights (arXiv 2312.13677), as far as its text tells what it shows: its
    pictures could not be recovered.

    Args:
        section: One experiment that has both kinds of runs.
    """
    return _course(section, _by_forced_decrease(section))


def course_by_epoch(section: Section) -> Figure:
    """Draw loss and accuracy by epoch.

    Figure 2 of APTS in weights (arXiv 2312.13677) and the figures of the slides on APTS in weights
    and in data, likewise.

    Args:
        section: One experiment.
    """
    return _course(section, groups_of(section.epochs))


def _course(section: Section, groups: Sequence[Group]) -> Figure:
    look, averages, frame = part_looks(section), published_for(section), section.epochs
    courses = [
        Course("Training loss", "epoch", "epoch", "train_loss", "mean loss", whole=True),
        Course(
            "Validation accuracy",
            "epoch",
            "epoch",
            "val_accuracy",
            "accuracy / %",
            100,
            False,
            True,
        ),
    ]
    figure, panels, quartiles = course_figure(frame, courses, look, groups=groups)
    right = 1.05 * floats(frame, "epoch").max()
    for index, group in enumerate(groups):
        own = {label: a for label, a in averages.items() if label in group.labels}
        loss, accuracy = (panels[course.title][index] for course in courses)
        _beside(loss, right, {label: a.loss for label, a in own.items()}, look)
        _beside(accuracy, right, {label: a.accuracy for label, a in own.items()}, look)
    several = len(groups) > 1
    words = [lines_and_bands(quartiles, several) + thin_lines(frame), *_sentences(averages)]
    caption(figure, " ".join(words))
    return figure


def part_looks(section: Section) -> dict[str, Look]:
    """Return the looks of a section: colour by method and number of parts, dashes by order.

    Args:
        section: One experiment.
    """
    specs, frame = _specs(section), section.epochs
    divided = [label for label, spec in specs.items() if spec["optimizer"]["method"] in DIVIDED]
    others = [label for label in specs if label not in divided]
    found = looks(rows_with(frame, "label", others))
    counts = {
        method: sorted({_settings(run.spec)[0] for run in section.records if run.method == method})
        for method in DIVIDED
    }
    for label, spec in specs.items():
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


def _by_forced_decrease(section: Section) -> list[Group]:
    """Return the labels without and with forced decrease, and those that have no such choice."""
    chosen = {
        label: _settings(spec)[2] if spec["optimizer"]["method"] == "APTSW" else None
        for label, spec in _specs(section).items()
    }
    order = [label for _, label, _ in grouped(section.epochs)]
    titles = {False: "without forced decrease", True: "with forced decrease", None: "other methods"}
    groups = [
        Group(tuple(label for label in order if chosen[label] is kind), title)
        for kind, title in titles.items()
    ]
    return [group for group in groups if group.labels]


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


def _sentences(averages: Mapping[str, Published]) -> Iterator[str]:
    if averages:
        epochs = " or ".join(str(e) for e in sorted({a.epochs for a in averages.values()}))
        yield (
            f"Diamonds on the right: the authors' published averages (test accuracy) after "
            f"{epochs} epochs, filled for order 2; settings may differ."
        )
