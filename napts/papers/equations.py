"""Tables of methods for differential equations: the best error and its cost, costs of targets."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from napts.analysis import Section
from napts.analysis.columns import floats, split, texts
from napts.analysis.labels import grouped
from napts.analysis.outcome import ENDED_BADLY
from napts.analysis.tables import MISSING, Table, median_of, number
from napts.papers.claims.costs import BestOf, PrintedTarget, met_from
from napts.papers.claims.evidence import Evidence, MissingError
from napts.papers.claims.quasi_newton import BEST_OF_LBFGS, ERROR, SLIDES_TARGET
from napts.papers.figures.equations import CLOCKS, has_counts, with_iterations
from napts.records.metric import Metric

_ERROR = ERROR.column("val")


def equation_tables(section: Section) -> Sequence[Table]:
    """Return the best error of each method with its cost, and the costs of targets."""
    if not has_counts(section):
        return []
    frame, metric = with_iterations(section.epochs), section.metric
    found = [_best_errors(frame, metric)]
    if metric.column("val") == _ERROR:
        evidence = Evidence(section)
        targets = (BEST_OF_LBFGS, SLIDES_TARGET)
        found += [t for each in targets if (t := _cost_of(each, evidence, frame)) is not None]
    return found


def _best_errors(frame: pd.DataFrame, metric: Metric) -> Table:
    rows = [
        [label, *_cells(group, metric.column("val"), rising=metric.goal == "max")]
        for _, label, group in grouped(frame)
    ]
    return Table(
        f"Best {metric.label} and its cost",
        ["method", "runs", f"best {metric.label}", *CLOCKS.values(), "in all"],
        rows,
        [
            "Median [smallest, largest] over the runs of the best iterate that was evaluated, for "
            "every method alike, and of what had been spent until then; in all: gradients of the "
            "whole run. "
            "Gradients: all of them, those of line searches too; without searches: the "
            "convention of the authors of ASPQN; in parallel: those that need not wait for one "
            "another count once. A local pass over all blocks of a network is one gradient. A run "
            "that ended badly has no best iterate."
        ],
    )


def _cost_of(
    target: BestOf | PrintedTarget, evidence: Evidence, frame: pd.DataFrame
) -> Table | None:
    """Return the cost of bringing the error to a target; None if there is no target."""
    try:
        targets = target.by_seed(evidence, _ERROR)
    except MissingError:
        return None
    rows = [
        [label, *_reached([run for run in split(group, "seed") if _seed(run) in targets], targets)]
        for _, label, group in grouped(frame)
    ]
    values = [number(value) for value in (min(targets.values()), max(targets.values()))]
    return Table(
        f"Cost of a relative error {target}: {' to '.join(dict.fromkeys(values))}",
        ["method", "reached", *CLOCKS.values()],
        rows,
        [
            "Median [smallest, largest] over the seeds until the first iterate that is at least as "
            "good, if more than half of the runs have one; the range is theirs. The columns are "
            "those of the table above."
        ],
    )


def _seed(run: pd.DataFrame) -> int:
    return int(run["seed"].iloc[0])


def _reached(runs: Sequence[pd.DataFrame], targets: Mapping[int, float]) -> list[str]:
    """Return how many runs reach their targets, and the median costs of that."""
    costs = [
        {name: float(floats(run, name)[there[0]]) for name in CLOCKS}
        for run in runs
        if texts(run, "state")[0] not in ENDED_BADLY
        and len(there := np.flatnonzero(floats(run, _ERROR) <= met_from(targets[_seed(run)])))
    ]
    share = f"{len(costs)}/{len(runs)}"
    if len(costs) <= len(runs) / 2:
        return [share, *["not reached" if not costs else MISSING] * len(CLOCKS)]
    return [share, *(_shown([cost[name] for cost in costs]) for name in CLOCKS)]


def _cells(group: pd.DataFrame, error: str, *, rising: bool) -> list[str]:
    runs = split(group, "seed")
    well = [run for run in runs if texts(run, "state")[0] not in ENDED_BADLY]
    best = [found for run in well if (found := _best(run, error, rising=rising)) is not None]
    if len(best) <= len(runs) / 2:  # the median is that of a run that ended badly
        return [f"{len(best)}/{len(runs)}", *[MISSING] * (2 + len(CLOCKS))]
    return [f"{len(best)}/{len(runs)}", *(_shown([row[name] for row in best]) for name in best[0])]


def _best(run: pd.DataFrame, error: str, *, rising: bool) -> dict[str, float] | None:
    """Return the best value of a run, its costs until then, and all its gradients."""
    values = floats(run, error)
    if not np.isfinite(values).any():
        return None
    row = int(np.nanargmax(values) if rising else np.nanargmin(values))
    costs = {name: float(floats(run, name)[row]) for name in CLOCKS if name in run}
    return {error: float(values[row]), **costs, "all": float(floats(run, "backwards_total").max())}


def _shown(values: Sequence[float]) -> str:
    return median_of(values) if np.isfinite(values).all() else MISSING
