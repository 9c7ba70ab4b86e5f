"""How far a run is, and whether two copies of it tell the same result."""

import json
from typing import NamedTuple

from napts.records.read import RunRecord
from napts.records.rows import encode_numbers

FINISHED = ("done", "diverged")
"""States that are a result. A failed run has ended too, but says nothing about its method."""

_RANKS = {"done": 3, "diverged": 2, "failed": 1, "interrupted": 0, "running": 0}

_MEASURED = ("attempt", "time", "peak_memory_mb")
"""Columns that differ between two runs of the same numbers, besides all ``*_seconds``."""

_YOUNGER = ("samples",)
"""Columns that follow from the others, and that records of older versions do not have."""


class Standing(NamedTuple):
    """How far a run is; a greater one is further.

    Attributes:
        rank: 0 for a run that has not ended, above that the better the end.
        epoch: Epochs finished.
        step: Steps known of the epoch after them; 0 for a run that has ended.
    """

    rank: int
    epoch: int
    step: int


def standing(record: RunRecord) -> Standing:
    """Return how far a run is, by its surviving rows.

    Args:
        record: The run.
    """
    rank = _RANKS[record.state]
    epoch = max([record.status.get("epoch") or 0, *(row["epoch"] for row in record.epochs)])
    if rank:
        return Standing(rank, epoch, 0)
    return Standing(rank, epoch, max(_steps_after(record, epoch), default=0))


def _steps_after(record: RunRecord, epoch: int) -> list[int]:
    steps = [row["step"] for row in record.steps if row["epoch"] == epoch + 1]
    # Where single steps are not recorded, a resumption still says from where it went on.
    if record.restarts and record.restarts[-1].get("resumed_from_epoch") == epoch:
        steps.append(record.restarts[-1].get("resumed_from_step") or 0)
    return steps


def last_update(record: RunRecord) -> float:
    """Return when the run last wrote its status, in unix seconds; 0 if it never did."""
    return float(record.status.get("updated") or 0.0)


def same_result(first: RunRecord, second: RunRecord) -> bool:
    """Tell whether two records hold the same numbers, whatever they took to compute.

    Args:
        first: A run.
        second: Another copy, or another execution, of the same run.
    """
    return _result(first) == _result(second)


def _result(record: RunRecord) -> str:
    rows = [
        {
            key: value
            for key, value in row.items()
            if key not in (*_MEASURED, *_YOUNGER) and not key.endswith("_seconds")
        }
        for row in record.epochs
    ]
    told = {"state": record.state, "final": record.final, "rows": rows}
    # As text, because an undefined loss differs from itself as a number.
    return json.dumps(encode_numbers(told), sort_keys=True)
