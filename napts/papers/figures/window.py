"""What the length of the memory changes: rejections, loss and accuracy by the window alone."""

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from napts.analysis import Section
from napts.analysis.columns import Floats, floats, rows_where, rows_with, split, texts
from napts.analysis.outcome import by_outcome
from napts.plotting.annotate import caption
from napts.plotting.drawings import Drawing
from napts.plotting.style import finish, look_of, new_figure
from napts.records.metric import ACCURACY

QUANTITIES = {
    "rejections_per_batch": "rejections per batch",
    "final_train_loss": "mean loss per sample",
    "final_val_accuracy": "accuracy / %",
}
"""Columns of the runs frame that are compared, and their names."""

_TITLES = ("Rejected steps", "Train loss at the end", "Validation accuracy at the end")


def window_frame(section: Section) -> pd.DataFrame:
    """Return one row per run of NTR and NAPTS that changes nothing but the window.

    Args:
        section: Runs whose labels are the method's name, with ``window=...`` where it is changed.

    Returns:
        The columns ``method``, ``window``, ``seed`` and `QUANTITIES`, final values as outcomes
        (see `napts.analysis.outcome`); empty unless a method has several windows.
    """
    windows = {run.run_key: run.spec["optimizer"].get("window") for run in section.records}
    runs = section.runs
    pairs = zip(texts(runs, "method"), texts(runs, "label"), strict=True)
    plain = np.array(
        [
            method in ("NTR", "NAPTS") and bool(re.fullmatch(rf"{method}( window=\d+)?", label))
            for method, label in pairs
        ]
    )
    frame = rows_where(runs, plain)
    frame = frame.assign(window=[windows[key] for key in frame["run_key"]]).dropna(subset="window")
    several = [m for m, group in frame.groupby("method") if len(set(floats(group, "window"))) > 1]
    finals = {name: by_outcome(frame, name) for name in QUANTITIES if name.startswith("final_")}
    frame = frame.assign(**finals)
    kept = rows_with(frame, "method", [str(method) for method in several])
    return kept.filter(items=["method", "window", "seed", *QUANTITIES]).reset_index(drop=True)


def window_drawings(section: Section) -> Iterator[Drawing]:
    """Yield the window ablation of a section, if several windows were tried."""
    if section.metric == ACCURACY and len(frame := window_frame(section)):
        yield Drawing(
            f"window-{section.slug}",
            "The window of the memory",
            section,
            frame,
            lambda: window_figure(frame),
            rank=2,
        )


def window_figure(frame: pd.DataFrame) -> Figure:
    """Draw what changes with the window of the memory.

    Args:
        frame: Frame of `window_frame`.
    """
    figure = new_figure(9.6, 3.4)
    panels = np.ravel(figure.subplots(1, 3))
    scaled = frame.assign(final_val_accuracy=100 * frame["final_val_accuracy"])
    for axes, (column, unit), title in zip(panels, QUANTITIES.items(), _TITLES, strict=True):
        _panel(axes, scaled, column)
        finish(axes, title=title, x="window", y=unit)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=len(labels))
    seeds = frame["seed"].nunique()
    badly = np.isinf(floats(frame, "final_train_loss")).any()
    infinite = " Cross at the top: infinite, since a run failed or diverged." if badly else ""
    caption(
        figure,
        f"Window 0 is the monotone method. Points: mean over {seeds} seeds; bars: smallest to "
        f"largest seed. Nothing but the window differs.{infinite}",
    )
    return figure


def _panel(axes: Axes, frame: pd.DataFrame, column: str) -> None:
    windows = sorted(set(floats(frame, "window").tolist()))
    for offset, group in zip((-0.08, 0.08), split(frame, "method"), strict=False):
        method = texts(group, "method")[0]
        look = look_of(method)
        values = [_drawable(floats(rows, column)) for rows in split(group, "window")]
        places = [windows.index(w) + offset for w in sorted(set(floats(group, "window").tolist()))]
        means = np.array([value.mean() for value in values])
        reach = [
            [mean - value.min() for mean, value in zip(means, values, strict=True)],
            [value.max() - mean for mean, value in zip(means, values, strict=True)],
        ]
        axes.errorbar(
            places,
            means,
            yerr=reach,
            color=look.color,
            marker=look.marker,
            linestyle=look.dashes,
            capsize=2.5,
            elinewidth=1.0,
            label=method,
        )
        infinite = [np.isinf(floats(rows, column)).any() for rows in split(group, "window")]
        crosses = [
            place for place, is_infinite in zip(places, infinite, strict=True) if is_infinite
        ]
        transform = axes.get_xaxis_transform()
        axes.plot(crosses, [0.98] * len(crosses), "x", color=look.color, transform=transform)
    axes.set_xticks(range(len(windows)), [f"{window:g}" for window in windows])


def _drawable(values: Floats) -> Floats:
    """Return what the runs that have ended have; one NaN where they have no finite mean."""
    present = values[~np.isnan(values)]
    return present if len(present) and np.isfinite(present).all() else np.array([np.nan])
