"""Runs that had to share a GPU: their seconds do not measure them alone.

On a CPU, the CPU time of a process is its own, whatever else runs. A process that waits for a GPU
waits busily: its CPU time, like its wall time, includes the work of all others on the device.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pandas as pd

from napts.records import RunRecord

SHARED_DEVICE = "shared_device"
"""Column of the runs frame that says so, present if some run did."""

TIMES = ("seconds_per_epoch", "cpu_seconds_per_epoch", "cpu_seconds_per_pass")
"""Columns of the runs frame that are times."""


class _Span(NamedTuple):
    start: float
    end: float
    run: int


def shared_a_device(runs: Sequence[RunRecord]) -> list[bool]:
    """Tell for each run whether another one of them was on the same GPU at the same time.

    A GPU is known by its identifier. Older records have none and name only a machine and a model:
    runs that overlap on such a machine count as having shared a GPU, although it may have several.

    Args:
        runs: The runs to check against each other; nothing else on the GPU is recorded.
    """
    spans: dict[tuple[str, ...], list[_Span]] = defaultdict(list)
    for index, run in enumerate(runs):
        gpu = _gpu(run)
        if gpu is not None:
            spans[gpu] += [_Span(*attempt, index) for attempt in _attempts(run)]
    shared = {index for own in spans.values() for index in _overlapping(own)}
    return [index in shared for index in range(len(runs))]


def sharing(runs: pd.DataFrame) -> int:
    """Return how many runs shared a GPU.

    Args:
        runs: Rows of the runs frame.
    """
    return sum(map(bool, runs[SHARED_DEVICE].tolist())) if SHARED_DEVICE in runs else 0


def _gpu(run: RunRecord) -> tuple[str, ...] | None:
    environment = run.environment
    if not environment.get("gpu"):
        return None
    if environment.get("gpu_id"):
        return (str(environment["gpu_id"]),)
    return (str(environment.get("hostname")), str(environment["gpu"]))


def _attempts(run: RunRecord) -> Iterable[tuple[float, float]]:
    """Yield the beginning and the last sign of life of every attempt that left an epoch."""
    for start in run.restarts:
        ends = [
            row["time"]
            for row in run.epochs
            if row.get("attempt") == start["attempt"] and row.get("time") is not None
        ]
        if ends and start.get("time") is not None:
            yield start["time"], max(ends)


def _overlapping(spans: Sequence[_Span]) -> set[int]:
    """Return the runs with a span that overlaps one of another run."""
    found: set[int] = set()
    running: list[_Span] = []
    for span in sorted(spans):
        running = [other for other in running if other.end > span.start]
        others = {other.run for other in running} - {span.run}
        if others:
            found |= others | {span.run}
        running.append(span)
    return found
