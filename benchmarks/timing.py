"""Clocks and intervals that the benchmarks share."""

import time
from collections.abc import Callable, Sequence

import numpy as np
from scipy.stats import bootstrap


def seconds(action: Callable[[], object]) -> float:
    """Return the wall time of doing something once."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return a 95 % bootstrap interval of the median; the value twice where there is only one."""
    if len(values) < 2:
        return values[0], values[0]
    interval = bootstrap(
        (list(values),), np.median, rng=np.random.default_rng(0), method="percentile"
    ).confidence_interval
    return float(interval.low), float(interval.high)
