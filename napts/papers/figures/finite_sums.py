"""Figures of the slides on finite sums: error by counted work, and how a subset grows."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from napts.analysis import Section
from napts.analysis.columns import floats, rows_where, rows_with, split, texts
from napts.analysis.labels import grouped
from napts.analysis.measured import metric_of
from napts.plotting.annotate import caption, legend, thin_lines
from napts.plotting.curves import band, log_if_wide, whole_numbers
from napts.plotting.drawings import RUN, Drawing
from napts.plotting.style import Look, finish, looks, new_figure

WORK = {
    "backwards_total": "gradients (whole sums)",
    "evaluations_total": "gradients and Hessian products",
    "train_seconds_total": "training time / s",
}
"""Columns of the horizontal axes, and their labels."""

FLOOR = 1e-16
"""Errors below are rounding, and are drawn here."""

_GROWTH = ("val_gradient_norm", "sample_fraction")


def has_counts(section: Section) -> bool:
    """Tell whether some run of a section counts what finite sums count."""
    return "hessian_products_total" in section.epochs


def finite_sum_drawings(section: Section) -> Iterator[Drawing]:
    """Yield the figures of a section whose methods count what finite sums count."""
    if not has_counts(section):
        return
    error = section.metric.column("val")
    for name, title, draw, columns in (
        ("work", f"{section.metric.label.capitalize()} by work", work_figure, (*WORK, error)),
        ("subsets", "Growing subsets", subsets_figure, (*_GROWTH, "cg_iterations_total")),
    ):
        if name == "subsets" and not _growing(section.epochs):
            continue
        yield Drawing(
            f"{name}-{section.slug}",
            title,
            section,
            section.epochs.filter(items=[*RUN, *columns]),
            lambda narrow, draw=draw: draw(section.epochs, narrow=narrow),
        )


def work_figure(frame: pd.DataFrame, *, narrow: bool = False) -> Figure:
    """Draw the error against gradients, against gradients with Hessian products, and time.

    The slides of multilevel variance reduction (arXiv 2006.15602) show it against "effective
    gradient evaluations", whose definition could not be recovered. Ours: one unit is as many
    component gradients as there are samples, those of line searches included.

    Args:
        frame: Frame of `napts.analysis.epochs_frame`, of one experiment and workload, with counts
            of finite sums.
        narrow: One panel above the other, for small screens.
    """
    figure = new_figure(4.2, 10.5) if narrow else new_figure(9.6, 3.9)
    panels = np.asarray(figure.subplots(3, 1) if narrow else figure.subplots(1, 3, sharey=True))
    look, metric = looks(frame), metric_of(frame)
    error = metric.column("val")
    frame = frame.assign(**{error: np.maximum(floats(frame, error), FLOOR)})
    for axes, (clock, label) in zip(panels, WORK.items(), strict=True):
        band(axes, frame, clock, error, look)
        suffix = ", log scale" if log_if_wide(axes, "x") else ""
        finish(axes, title=f"By {label.partition(' (')[0].partition(' /')[0]}", x=label + suffix)
    log = ", log scale" if log_if_wide(panels[0], "y", floats(frame, error)) else ""
    for axes in panels if narrow else panels[:1]:
        axes.set_ylabel(f"{metric.axis}{log}")
        axes.set_yscale("log" if log else "linear")
    legend(figure, frame, look)
    caption(
        figure,
        "Lines: mean over seeds, one point per epoch; bands: smallest to largest seed. One "
        "gradient is as many component gradients as there are samples, those of line searches "
        "included; a product of a Hessian with a vector counts its share of the samples."
        + thin_lines(frame),
    )
    return figure


def subsets_figure(frame: pd.DataFrame, *, narrow: bool = False) -> Figure:
    """Draw the norm of the gradient by iteration and by CG, and the size of growing subsets.

    Where no run has that norm as a metric it is the error by which the runs are compared.

    Args:
        frame: As for `work_figure`.
        narrow: One panel above the other, for small screens.
    """
    figure = new_figure(4.2, 10.5) if narrow else new_figure(9.6, 3.9)
    by_iteration, by_products, sizes = figure.subplots(3, 1) if narrow else figure.subplots(1, 3)
    look, metric = looks(frame), metric_of(frame)
    quantity, title = "val_gradient_norm", "Norm of the gradient"
    if quantity not in frame:
        quantity, title = metric.column("val"), metric.label.capitalize()
    second_order = rows_with(frame, "label", _counting(frame))
    for axes, x, label in (
        (by_iteration, "epoch", "iteration"),
        (by_products, "hessian_products_total", "Hessian products (whole sums)"),
    ):
        band(axes, second_order, x, quantity, look)
        log = ", log scale" if log_if_wide(axes, "y") else ""
        finish(axes, title=title, x=label, y=f"{title.lower()}{log}")
    whole_numbers(by_iteration)
    _sizes(sizes, rows_with(frame, "label", _growing(frame)), look)
    legend(figure, second_order, look)
    caption(
        figure,
        "Methods with Hessians. Lines: mean over seeds; bands: smallest to largest seed. Hessian "
        f"products count their share of the samples.{thin_lines(second_order)}",
    )
    return figure


def _sizes(axes: Axes, frame: pd.DataFrame, look: Mapping[str, Look]) -> None:
    band(axes, frame, "epoch", "sample_fraction", look, scale=100)
    log = ", log scale" if log_if_wide(axes, "y") else ""
    finish(axes, title="Size of growing subsets", x="iteration", y=f"share of samples / %{log}")
    whole_numbers(axes)


def _growing(frame: pd.DataFrame) -> list[str]:
    """Return the labels whose smallest subset changes in some run."""
    known = rows_where(frame, np.isfinite(floats(frame, "sample_fraction")))
    return [
        label
        for _, label, group in grouped(known)
        if any(len(set(floats(run, "sample_fraction"))) > 1 for run in split(group, "seed"))
    ]


def _counting(frame: pd.DataFrame) -> list[str]:
    """Return the labels of methods that multiply Hessians."""
    return sorted(
        set(texts(rows_where(frame, floats(frame, "hessian_products_total") > 0), "label"))
    )
