"""Figures of the slides on finite sums: error by counted work, and how a subset grows."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from napts.analysis import Section
from napts.analysis.columns import floats, rows_where, rows_with, split, texts
from napts.analysis.labels import grouped
from napts.analysis.measured import metric_of
from napts.plotting.annotate import caption, thin_lines, what_points_are
from napts.plotting.courses import Course, course_figure, groups_of, lines_and_bands
from napts.plotting.drawings import RUN, Drawing
from napts.plotting.style import looks

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
            lambda draw=draw: draw(section.epochs),
            rank=3 if name == "subsets" else 0,
        )


def work_figure(frame: pd.DataFrame) -> Figure:
    """Draw the error against gradients, against gradients with Hessian products, and time.

    The slides of multilevel variance reduction (arXiv 2006.15602) show it against "effective
    gradient evaluations", whose definition could not be recovered. Ours: one unit is as many
    component gradients as there are samples, those of line searches included.

    Args:
        frame: Frame of `napts.analysis.epochs_frame`, of one experiment and workload, with counts
            of finite sums.
    """
    look, metric = looks(frame), metric_of(frame)
    error = metric.column("val")
    frame = frame.assign(**{error: np.maximum(floats(frame, error), FLOOR)})
    courses = [
        Course(
            f"By {label.partition(' (')[0].partition(' /')[0]}", clock, label, error, metric.axis
        )
        for clock, label in WORK.items()
    ]
    figure, _, quartiles = course_figure(frame, courses, look, across=3)
    caption(
        figure,
        f"{lines_and_bands(quartiles, len(groups_of(frame)) > 1)} {what_points_are(frame)} One "
        "gradient is as many component gradients as there are samples, those of line searches "
        "included; a product of a Hessian with a vector counts its share of the samples."
        + thin_lines(frame),
    )
    return figure


def subsets_figure(frame: pd.DataFrame) -> Figure:
    """Draw the norm of the gradient by iteration and by CG, and the size of growing subsets.

    Where no run has that norm as a metric it is the error by which the runs are compared.

    Args:
        frame: As for `work_figure`.
    """
    look, metric = looks(frame), metric_of(frame)
    quantity, title = "val_gradient_norm", "Norm of the gradient"
    if quantity not in frame:
        quantity, title = metric.column("val"), metric.label.capitalize()
    second_order = rows_with(frame, "label", _counting(frame))
    growing = np.isin(texts(second_order, "label"), _growing(frame))
    share = np.where(growing, floats(second_order, "sample_fraction"), np.nan)
    products = "Hessian products (whole sums)"
    courses = [
        Course(title, "epoch", "iteration", quantity, title.lower(), whole=True),
        Course(f"{title} by products", "hessian_products_total", products, quantity, title.lower()),
        Course(
            "Size of growing subsets",
            "epoch",
            "iteration",
            "growing",
            "share of samples / %",
            100,
            whole=True,
        ),
    ]
    shown = second_order.assign(growing=share)
    figure, _, quartiles = course_figure(shown, courses, look, across=3)
    caption(
        figure,
        f"Methods with Hessians. {lines_and_bands(quartiles, len(groups_of(shown)) > 1)} Hessian "
        f"products count their share of the samples.{thin_lines(second_order)}",
    )
    return figure


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
