"""Rows of ``epochs.jsonl`` that stand for several epochs: their totals are those of all of them."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from napts.records.columns import adds_up
from napts.records.layout import MERGED

Row = dict[str, Any]


def merged(rows: Sequence[Row], kept: Collection[int]) -> list[Row]:
    """Return some of a run's rows, each of the others merged into the next one of these.

    Args:
        rows: All rows in order.
        kept: The epochs to keep. Rows after the last of them are left out.
    """
    result: list[Row] = []
    waiting: list[Row] = []
    for row in rows:
        waiting.append(row)
        if row["epoch"] in kept:
            result.append(_as_one(waiting))
            waiting = []
    return result


def epochs_in(row: Mapping[str, Any]) -> int:
    """Return for how many epochs a row stands."""
    return row.get(MERGED) or 1


def per_epoch(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a row with means over its epochs in place of their totals."""
    count = epochs_in(row)
    if count == 1:
        return row
    return {
        name: value / count if value is not None and adds_up(name) else value
        for name, value in row.items()
    }


def _as_one(rows: Sequence[Row]) -> Row:
    if len(rows) == 1:
        return rows[0]
    row = {
        name: _total([row.get(name) for row in rows]) if adds_up(name) else rows[-1].get(name)
        for name in dict.fromkeys(name for row in rows for name in row)
    }
    return {**row, MERGED: sum(map(epochs_in, rows))}


def _total(values: Sequence[Any]) -> Any:
    known = [value for value in values if value is not None]
    if not known:
        return None
    return sum(known) if all(isinstance(value, int) for value in known) else math.fsum(known)
