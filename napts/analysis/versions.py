"""Which versions of the package have results that may be averaged together.

A change of the code that moves results by more than rounding is a *break*. It is listed here and in
the changelog of the release that brings it. Runs of one method from both sides of a break get
different labels, so that nothing averages, compares or judges them as if they were the same.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

from napts.records import RunRecord


@dataclass(frozen=True)
class Break:
    """A release whose results differ from those before by more than rounding.

    Attributes:
        version: The first release with the new results, such as ``"0.3.0"``.
        methods: The methods whose results differ; None for all methods.
        reason: What has changed, as a line of the changelog.
    """

    version: str
    methods: tuple[str, ...] | None
    reason: str


BREAKS: tuple[Break, ...] = ()
"""All breaks, in the order of their versions. There has been none."""


def apart_by_version(
    runs: Sequence[RunRecord], breaks: Sequence[Break] | None = None
) -> list[RunRecord]:
    """Give runs from before a break a label of their own if there are newer ones beside them.

    Args:
        runs: Runs of any experiments.
        breaks: What separates versions, in the order of their versions; by default `BREAKS`.

    Returns:
        The same runs in the same order. The newest side of a break keeps its labels; older runs of
        the same experiment, problem and label are called ``"NAPTS (before napts 0.3.0)"``, say.
    """
    breaks = BREAKS if breaks is None else breaks
    eras = [_era(run, breaks) for run in runs]
    newest: dict[tuple[str, str, str], int] = {}
    for run, (era, _) in zip(runs, eras, strict=True):
        newest[_place(run)] = max(newest.get(_place(run), 0), era)
    return [
        run
        if era == newest[_place(run)]
        else replace(run, label=f"{run.label} (before napts {end})")
        for run, (era, end) in zip(runs, eras, strict=True)
    ]


def _place(run: RunRecord) -> tuple[str, str, str]:
    return run.experiment, run.workload, run.label


def _era(run: RunRecord, breaks: Sequence[Break]) -> tuple[int, str | None]:
    """Return how many breaks precede a run, and the release that ends its era."""
    own = [b.version for b in breaks if b.methods is None or run.method in b.methods]
    era = bisect_right([_numbers(v) for v in own], _numbers(run.environment.get("napts")))
    return era, own[era] if era < len(own) else None


def _numbers(version: object) -> tuple[int, ...]:
    """Return the numbers of a release; for a run that names none, numbers before all releases."""
    found = re.match(r"\d+(\.\d+)*", version) if isinstance(version, str) else None
    return tuple(map(int, found[0].split("."))) if found else ()
