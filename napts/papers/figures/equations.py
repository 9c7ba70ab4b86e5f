"""Figures of differential equations: error by every count of work, the solution, its error."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from napts.analysis import Section
from napts.analysis.labels import grouped
from napts.analysis.measured import metric_of
from napts.plotting.annotate import caption, thin_lines, what_points_are
from napts.plotting.courses import Course, course_figure, groups_of, lines_and_bands
from napts.plotting.drawings import RUN, Drawing
from napts.plotting.style import finish, looks, new_figure
from napts.records.kept import read_kept

GRADIENTS = {
    "backwards_total": "gradients",
    "gradients_published_total": "gradients without searches",
    "gradients_concurrent_total": "gradients in parallel",
}
"""Counts of gradients: columns of the epochs frame, and their labels."""

CLOCKS = {
    "iterations": "iterations",
    **GRADIENTS,
    "update_cost_total": "update cost",
    "train_seconds_total": "seconds",
}
"""Columns of the horizontal axes, and their labels."""

Field = Mapping[str, NDArray[Any]]
"""What a run keeps: the coordinates, ``u`` and ``exact``."""

_LOWEST = 1e-6
"""Errors below are drawn in one colour."""


def has_counts(section: Section) -> bool:
    """Tell whether some run of a section counts what quasi-Newton methods count."""
    return "gradients_published_total" in section.epochs


def equation_drawings(section: Section) -> Iterator[Drawing]:
    """Yield the figures of a section of quasi-Newton methods, or of a differential equation."""
    if has_counts(section):
        error, frame = section.metric.column("val"), with_iterations(section.epochs)
        yield Drawing(
            f"gradients-{section.slug}",
            f"{section.metric.label.capitalize()} by gradients",
            section,
            frame.filter(items=[*RUN, *CLOCKS, error]),
            lambda: gradients_figure(frame),
        )
    if fields := fields_of(section):
        data = pd.DataFrame(
            [
                {
                    "label": label,
                    "largest": np.abs(_error(f)).max(),
                    "mean": np.abs(_error(f)).mean(),
                }
                for label, f in fields.items()
            ]
        )
        yield Drawing(
            f"solution-{section.slug}",
            "Solution and its error",
            section,
            data,
            lambda: solution_figure(fields),
        )


def with_iterations(frame: pd.DataFrame) -> pd.DataFrame:
    """Return an epochs frame with the steps that each run has taken so far.

    A local pass of a method that cuts the network into blocks of layers computes the gradients of
    all blocks, and so counts as a gradient of the network in every column of gradients.
    """
    keys = [frame["experiment"], frame["run_key"]]
    steps = frame["batches"].fillna(0.0).groupby(keys).cumsum()
    passes = (frame["local_fraction"] * frame["local_passes"]).fillna(0.0)
    local = passes.where(frame["epoch"] > 0, 0.0).groupby(keys).cumsum()
    gradients = {name: frame[name] + local for name in GRADIENTS if name in frame}
    return frame.assign(iterations=steps, **gradients)


def fields_of(section: Section) -> dict[str, Field]:
    """Return what runs have kept of a solution of two coordinates: the first seed of each label."""
    found: dict[str, Field] = {}
    directories = {run.run_key: run.path for run in section.records}
    for _, label, group in grouped(section.epochs):
        for key in dict.fromkeys(group.sort_values("seed")["run_key"]):
            kept = read_kept(directories[key])
            if {"u", "exact"} <= set(kept) and kept["u"].ndim == 2 and len(kept) == 4:
                found.setdefault(label, kept)
    return found


def gradients_figure(frame: pd.DataFrame) -> Figure:
    """Draw the error against iterations, gradients by each way to count them, updates and time.

    Args:
        frame: What `with_iterations` returned, of one experiment and workload.
    """
    metric = metric_of(frame)
    error = metric.column("val")
    courses = [
        Course(f"By {label}", count, label, error, metric.axis) for count, label in CLOCKS.items()
    ]
    figure, _, quartiles = course_figure(frame, courses, looks(frame))
    caption(
        figure,
        f"{lines_and_bands(quartiles, len(groups_of(frame)) > 1)} {what_points_are(frame)} "
        "Gradients: all of them, those of line searches too. Without searches: the convention of "
        "the authors of ASPQN. In parallel: those that need not wait for one another count once. "
        "A local pass over all blocks of a network is one gradient. "
        "Update cost: vector work in two-loop recursions over all parameters, of methods that have "
        "them." + thin_lines(frame),
    )
    return figure


def solution_figure(fields: Mapping[str, Field]) -> Figure:
    """Draw the solution, and for each method what its network says and how far that is off.

    Args:
        fields: What a run of each method has kept.
    """
    columns = 2
    figure = new_figure(2.4 * 2 * columns, 1.9 * (1 + -(-len(fields) // columns)))
    rows = 1 + -(-len(fields) // columns)
    panels = np.asarray(figure.subplots(rows, 2 * columns, squeeze=False))
    first = next(iter(fields.values()))
    scale = float(np.abs(first["exact"]).max())
    shown = _picture(panels[0][0], first, first["exact"], "reference", (-scale, scale), "RdBu_r")
    figure.colorbar(shown, ax=panels, label="solution", aspect=40)
    levels = np.log10([_LOWEST, scale])
    pictures = [pair for line in panels[1:] for pair in line.reshape(columns, 2)]
    last = None
    for (label, field), (left, right) in zip(fields.items(), pictures, strict=False):
        _picture(left, field, field["u"], label, (-scale, scale), "RdBu_r")
        error = np.log10(np.maximum(np.abs(_error(field)), _LOWEST))
        last = _picture(right, field, error, f"{label}, error", tuple(levels), "magma")
    for axes in [*panels[0][1:], *(a for pair in pictures[len(fields) :] for a in pair)]:
        axes.axis("off")
    if last is not None:
        figure.colorbar(last, ax=panels, label="log10 of the error", aspect=40)
    caption(figure, "The networks at the end of the first seed's runs, on the test grid.")
    return figure


def _error(field: Field) -> NDArray[Any]:
    return np.asarray(field["u"] - field["exact"], dtype=np.float64)


def _picture(
    axes: Axes,
    field: Field,
    values: NDArray[Any],
    title: str,
    limits: Sequence[float],
    colours: str,
) -> Any:
    """Draw values over the domain, as an image."""
    (name, down), (other, along) = list(field.items())[:2]
    low, high = limits
    image = axes.imshow(
        values.T,
        origin="lower",
        aspect="auto",
        extent=(float(down[0]), float(down[-1]), float(along[0]), float(along[-1])),
        vmin=low,
        vmax=high,
        cmap=colours,
        interpolation="nearest",
    )
    axes.grid(visible=False)
    finish(axes, title=title, x=name, y=other)
    return image
