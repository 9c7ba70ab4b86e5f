"""How runs ended, and how a run that ended badly counts.

A run that failed or diverged counts as the worst possible value of a quantity. For a metric, this
is the wrong end of [0, 1] if it is a fraction, otherwise plus or minus infinity; a loss, time or
count is infinite. So such a run can only count against its method, and it is never left out. A run
that is in progress, was interrupted, or was never started says nothing yet: it is left out and
counted as missing. A quantity is a column of the frames of `napts.analysis`.
"""

import math
from collections.abc import Mapping

import pandas as pd

from napts.analysis.columns import floats, texts
from napts.analysis.measured import metric_of
from napts.records.metric import Metric, direction_of, is_of
from napts.records.read import ENDED, ENDED_BADLY


def worst(quantity: str, metric: Metric) -> float:
    """Return the worst possible value of a quantity.

    Args:
        quantity: Name of a column.
        metric: The metric used to compare its runs.

    Returns:
        That of the metric (see `napts.records.metric.Metric.worst`); infinity for all other
        quantities, where less is better.

    Raises:
        ValueError: The runs are not compared by this metric, so its direction is not known.
    """
    if is_of(quantity, metric):
        return metric.worst
    return math.inf if direction_of(quantity, metric) == "min" else -math.inf


def by_outcome(runs: pd.DataFrame, quantity: str) -> list[float]:
    """Return a column of the runs frame as outcomes.

    Args:
        runs: Frame of `napts.analysis.runs_frame`, or some rows of it.
        quantity: Name of a column.

    Returns:
        For each run its value if it is done, `worst` if it ended badly, NaN if it has not ended.
    """
    pairs = zip(floats(runs, quantity).tolist(), texts(runs, "state"), strict=True)
    metric = metric_of(runs)
    return [outcome(value, state, quantity, metric) for value, state in pairs]


def outcome(value: float, state: str, quantity: str, metric: Metric) -> float:
    """Return the value with which one run counts.

    Args:
        value: Its value; NaN stays NaN, which a finished run has for a quantity that became
            infinite or is not a number.
        state: One of `napts.records.read.STATES`.
        quantity: Name of the column.
        metric: The metric used to compare its runs.

    Returns:
        The value if the run is done, `worst` if it ended badly, NaN if it has not ended.
    """
    if state in ENDED_BADLY:
        return worst(quantity, metric)
    return value if state in ENDED else math.nan


def seeds_ended_badly(runs: pd.DataFrame) -> set[int]:
    """Return the seeds of the runs that ended badly.

    Args:
        runs: Rows of the runs frame, of one label.
    """
    states: Mapping[int, str] = dict(zip(runs["seed"].tolist(), texts(runs, "state"), strict=True))
    return {seed for seed, state in states.items() if state in ENDED_BADLY}
