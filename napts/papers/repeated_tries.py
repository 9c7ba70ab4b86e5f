"""Counts of runs whose global steps are tried again at the smallest radius, for other limits.

With ``radius_floor = "repeated"`` a global step that fails uses up all its tries. The last of them
change nothing, so the counts of a run determine those of the same run with another limit, as long
as the smallest radius is reached within both.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from napts.records import RunRecord


def repeats(run: RunRecord) -> bool:
    """Tell whether a run tries global steps again at the smallest radius."""
    return run.spec["optimizer"].get("radius_floor") == "repeated"


def wholly_failed(row: Mapping[str, Any], tries: int) -> int:
    """Return how many batches of an epoch took no global step.

    An accepted proposal costs a backward, and every trial a forward. So the forwards that are
    neither the batch's own nor those of rejected trials or proposals are accepted global steps.

    Args:
        row: Counts of an epoch.
        tries: Its limit of tries; such a batch has used all of them.
    """
    proposals = row["backwards"] - row["batches"]
    taken = row["forwards"] - row["batches"] - row["rejections"] - proposals
    return min(round(row["batches"] - taken), row["rejections_global"] // tries)


def reaches_the_floor(run: RunRecord, tries: int) -> bool:
    """Tell whether this many tries come down to the smallest radius.

    They start from the largest radius at the end of an epoch, after one more growth.

    Args:
        run: The run.
        tries: The limit of tries.
    """
    options = run.spec["optimizer"]
    radii = [row["radius"] for row in run.epochs if row.get("radius") is not None]
    highest = min(options["radius_max"], options["grow"] * max(radii, default=options["radius"]))
    return highest * options["shrink"] ** (tries - 1) <= options["radius_min"]


def with_tries(run: RunRecord, tries: int) -> RunRecord:
    """Return a run with repeats as it would have been counted with another limit of tries.

    Args:
        run: The run; its label stays.
        tries: The limit. The smallest radius must have been reached within it, or the run would
            have taken another path; see `reaches_the_floor`.

    Raises:
        ValueError: The run does not try again at the smallest radius.
    """
    if not repeats(run):
        raise ValueError(f"{run.label}: no run whose tries are repeated at the smallest radius")
    options = run.spec["optimizer"]
    before = options["max_tries"]
    spec = {**run.spec, "optimizer": {**options, "max_tries": tries}}
    epochs = [_counted(row, before, tries) for row in run.epochs]
    return replace(run, spec=spec, epochs=epochs)


def _counted(row: Mapping[str, Any], before: int, tries: int) -> dict[str, Any]:
    if not row.get("batches"):
        return dict(row)
    more = (tries - before) * wholly_failed(row, before)
    counts = ("forwards", "rejections", "rejections_global")
    return {**row, **{name: row[name] + more for name in counts}}
