"""The metric used to compare the runs of a frame; the frames of `napts.analysis` carry it."""

from typing import Any

import pandas as pd

from napts.records.columns import metrics_in
from napts.records.metric import LOSS, Metric, direction_of

METRIC_COLUMNS = ("metric", "goal", "fraction")
"""Columns of both frames that hold the main metric: name, "max" or "min", shown in percent."""


def metric_columns(metric: Metric) -> dict[str, Any]:
    """Return the entries on its main metric for the rows of a run."""
    return dict(zip(METRIC_COLUMNS, (metric.name, metric.goal, metric.fraction), strict=True))


def metric_of(frame: pd.DataFrame) -> Metric:
    """Return the metric used to compare the runs of a frame.

    Args:
        frame: A frame of `napts.analysis`, or some rows of one; all of its columns in
            `METRIC_COLUMNS` must still be there.

    Returns:
        The metric; for a frame without rows, one of its metrics, or the loss.

    Raises:
        ValueError: The runs are not compared by the same metric.
    """
    told = zip(*(frame[name].tolist() for name in METRIC_COLUMNS), strict=True)
    found = [Metric(name, goal, bool(fraction)) for name, goal, fraction in dict.fromkeys(told)]
    if len(found) > 1:
        names = ", ".join(f"{metric.name} ({metric.goal})" for metric in found)
        raise ValueError(f"runs are compared by different metrics: {names}")
    return found[0] if found else _of_nothing(frame)


def _of_nothing(frame: pd.DataFrame) -> Metric:
    names = metrics_in([dict.fromkeys(map(str, frame.columns))])
    return Metric(names[0], "max") if names else LOSS


def named(metric: Metric) -> str:
    """Return the display name of a metric on validation data: "loss" alone would be ambiguous."""
    return f"validation {metric.label}" if metric.name == LOSS.name else metric.label


def is_rising(frame: pd.DataFrame, column: str) -> bool:
    """Tell whether larger values of a column are better.

    Raises:
        ValueError: The runs are not compared by this metric, so its direction is not known.
    """
    return direction_of(column, metric_of(frame)) == "max"
