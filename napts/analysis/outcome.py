"""How runs ended, and what a run that ended badly counts for.

A run that failed or diverged counts as the worst that its quantity can be: of a metric the wrong
end of [0, 1] if it is a fraction, else plus or minus infinity; an infinite loss, time or count. So
it can only speak against its method, and it is never left out. A run that is still going, was
interrupted, or was never made says nothing yet: it is left out and counted as missing. A quantity
is a column of the frames of `napts.analysis`.
"""

import math
from collections.abc import Mapping

import pandas as pd

from napts.analysis.columns import floats, texts
from napts.analysis.measured import metric_of
from napts.records.metric import Metric, direction_of, is_of
from napts.records.read import ENDED, ENDED_BADLY


def worst(quantity: str, metric: Metric) -> float:
    """Return the worst that a quantity can be.

    Args:
        quantity: Name of a column.
        metric: The metric by which its runs are compared.

    Returns:
        That of the metric, see `napts.records.metric.Metric.worst`; infinity for all other
        quantities, of which less is better.

    Raises:
        ValueError: It is a metric by which the runs are not compared, so nobody has said.
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
        Per run its value if it is done, `worst` if it ended badly, NaN if it has not ended.
    """
    pairs = zip(floats(runs, quantity).tolist(), texts(runs, "state"), strict=True)
    metric = metric_of(runs)
    return [outcome(value, state, quantity, metric) for value, state in pairs]


def outcome(value: float, state: str, quantity: str, metric: Metric) -> float:
    """Return what one run counts for.

    Args:
        value: What it has; NaN, which a done run has of a quantity that became infinite or is no
            number, stays NaN.
        state: One of `napts.records.read.STATES`.
        quantity: Name of the column.
        metric: The metric by which its runs are compared.

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
