"""Copies of long runs with fewer rows, each of which stands for the epochs merged into it.

Where an epoch is one step, as with the whole data as one batch, a run has thousands of rows. A
thinned copy keeps some of them. What describes the end of an epoch is unchanged there; what adds up
over epochs (steps, passes, rejections, seconds, ...) a row has of all epochs since the kept one
before it. So every running total at a kept row is that of the run. Kept are

- all epochs up to `WHOLE`, then those in a ratio of `RATIO`, the same for all runs;
- the last epoch;
- the first with the best value of the metric by which the run is compared;
- the first at least as good as each number of `DIGITS` significant digits;
- the first at least as good as each target, in `napts.records.condense` the best values of the
  other runs with the same problem and seed;
- the epoch that the status names for the budget's target.

What it has cost to reach such a value is therefore exact. Where another value was reached is known
no better than for the two numbers of `DIGITS` digits around it: the copy does not have it before
the run did, nor after the run had reached the better of the two.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Context
from statistics import median
from typing import Any

from napts.records.columns import unknown
from napts.records.layout import EPOCHS
from napts.records.merged_rows import merged
from napts.records.metric import Metric
from napts.records.read import ENDED, RunRecord

Row = dict[str, Any]

LONG = 100
"""Epochs up to which a run keeps all its rows."""

WHOLE = 20
"""Epochs of a longer one whose rows are all kept."""

RATIO = 1.1
"""Ratio of the epochs that are kept after them."""

DIGITS = 2
"""Significant digits of the values whose first epochs are kept."""

MEDIANS = ("train_seconds", "cpu_seconds")
"""Columns whose medians over the epochs a thinned copy has besides, as its rows no longer tell."""


def is_long(record: RunRecord) -> bool:
    """Tell whether a run may be thinned: it has ended, and has many epochs of one step each.

    Args:
        record: The run. One with columns that the table does not have is left alone: whether they
            add up is not known.
    """
    rows = record.epochs
    return (
        record.state in ENDED
        and record.thinned is None
        and len(rows) > LONG + 1
        and all((row.get("batches") or 0) <= 1 for row in rows)
        and not unknown(EPOCHS, {name for row in rows for name in row})
    )


def thin(record: RunRecord, targets: Iterable[float] = ()) -> RunRecord:
    """Return a run with fewer rows, or the same one if it is not long.

    Args:
        record: The run.
        targets: Values of the metric by which it is compared, whose first epochs are kept.
    """
    if not is_long(record):
        return record
    rows, last = record.epochs, record.epochs[-1]["epoch"]
    kept = {last, *spaced(last), *_first_at(rows, record.primary, targets)}
    if record.target is not None:
        kept.add(record.target["epoch"])
    medians = {name: _median(rows, name) for name in MEDIANS}
    return replace(record, epochs=merged(rows, kept), thinned=medians)


def spaced(last: int) -> set[int]:
    """Return the epochs up to ``last`` that all thinned runs keep."""
    count = math.ceil(math.log(max(last / WHOLE, 1.0), RATIO))
    later = {round(WHOLE * RATIO**power) for power in range(count + 1)}
    return {epoch for epoch in {*range(WHOLE), *later} if epoch <= last}


def best_of(record: RunRecord) -> float | None:
    """Return the best value of the metric by which a run is compared; None if it has none."""
    values = (value for _, value in _known(record.epochs, record.primary))
    return max(values, key=record.primary.score, default=None)


def _first_at(rows: Iterable[Row], metric: Metric, targets: Iterable[float]) -> Iterator[int]:
    """Yield the first epochs with the best value, and with those that a run is asked for."""
    left = set(targets)
    best, rounded = metric.score(-math.inf), metric.score(-math.inf)
    first = 0
    for epoch, value in _known(rows, metric):
        if not metric.better(value, best):
            continue
        first, best = epoch, value
        reached = {target for target in left if metric.reaches(value, target)}
        number = _rounded(value, metric)
        if reached or metric.better(number, rounded):
            yield epoch
        left, rounded = left - reached, number
    yield first


def _rounded(value: float, metric: Metric) -> float:
    """Return the best number of `DIGITS` digits that a value reaches."""
    towards_worse = ROUND_FLOOR if metric.goal == "max" else ROUND_CEILING
    return float(Context(prec=DIGITS, rounding=towards_worse).create_decimal(repr(value)))


def _known(rows: Iterable[Row], metric: Metric) -> Iterator[tuple[int, float]]:
    column = metric.column("val")
    for row in rows:
        value = row.get(column)
        if value is not None and math.isfinite(value):
            yield row["epoch"], float(value)


def _median(rows: Sequence[Row], name: str) -> float | None:
    """Return the median over the epochs but the first, which includes warming up."""
    known = [row[name] for row in rows[2:] if row.get(name) is not None]
    return float(median(known)) if known else None
