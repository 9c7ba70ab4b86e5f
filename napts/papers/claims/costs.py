"""Statements about the cost of reaching something, in any counted unit."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from napts.analysis.columns import floats, split
from napts.analysis.outcome import ENDED_BADLY
from napts.analysis.target import Arrival, arrival, ratio_of_medians
from napts.papers.claims.evidence import Evidence, MissingError, NotReachedError, Who
from napts.papers.claims.paired import some_ended_well
from napts.papers.claims.verdict import Estimate, Region

NAMES = {
    "epoch": "iterations",
    "train_seconds_total": "seconds of training",
    "backwards_total": "gradients",
    "gradients_published_total": "gradients without searches",
    "gradients_concurrent_total": "gradients in parallel",
    "evaluations_total": "gradients and Hessian-vector products",
    "hessians_total": "Hessians",
    "hessian_products_total": "Hessian-vector products",
    "cg_iterations_total": "iterations of conjugate gradients",
    "work_units_total": "work units",
}
"""The units of cost, in words. With the whole data as one batch, an epoch is an iteration."""

_ROUNDING = 1e-9


def met_from(target: float) -> float:
    """Return the largest value that meets a target up to rounding.

    With references computed on two days, the same parameters have errors that differ by 1e-13, say.
    """
    return target + _ROUNDING * abs(target)


@dataclass(frozen=True)
class BestOf:
    """The smallest value that a method's run reaches, seed by seed, as a target for others.

    Attributes:
        who: The method.
    """

    who: Who

    def by_seed(self, evidence: Evidence, metric: str) -> dict[int, float]:
        """Return the targets; a run that ended badly sets none."""
        rows, states = evidence.rows(self.who), evidence.states(self.who)
        if metric not in rows:
            raise MissingError(f"{metric} in the records of {self.who}")
        runs = {int(run["seed"].iloc[0]): run for run in split(rows, "seed")}
        return {
            seed: float(np.nanmin(floats(run, metric)))
            for seed, run in runs.items()
            if states[seed] not in ENDED_BADLY and np.isfinite(floats(run, metric)).any()
        }

    def __str__(self) -> str:
        """Return it in words."""
        return f"of the best of {self.who}"


@dataclass(frozen=True)
class PrintedTarget:
    """A value that a source prints for some problems, the same for every seed.

    Attributes:
        values: The values by workload.
        source: Where they are printed.
    """

    values: Mapping[str, float]
    source: str

    def by_seed(self, evidence: Evidence, metric: str) -> dict[int, float]:
        """Return the target for all seeds of the section."""
        workload = evidence.section.workload
        if workload not in self.values:
            raise MissingError(f"a value that {self.source} print for {workload}")
        seeds = {run.seed for run in evidence.section.records}
        return dict.fromkeys(seeds, self.values[workload])

    def __str__(self) -> str:
        """Return it in words."""
        return f"that {self.source} print"


@dataclass(frozen=True)
class CostOfTarget:
    """The cost of bringing a metric to a value, compared with another method.

    It is the ratio of the medians over seeds; the interval is that of the ratios seed by seed, see
    `ratio_of_medians`. A run that has ended without getting there, well or badly, would have cost
    more than it did, by an unknown factor.

    Attributes:
        cost: What is counted, a running total of the epochs frame.
        of: The method whose cost it is.
        to: The method whose cost it is divided by.
        region: Where the ratio must lie.
        metric: Column that should fall to the target.
        target: The value, or whose best value, or who prints it.
    """

    cost: str
    of: Who
    to: Who
    region: Region | None
    metric: str
    target: float | BestOf | PrintedTarget

    def what(self) -> str:
        """Return the number in words."""
        value = f"{self.target:g}" if isinstance(self.target, float) else str(self.target)
        wanted = f"{self.metric.removeprefix('val_').replace('_', ' ')} {value}"
        return f"{NAMES[self.cost]} to {wanted}, {self.of} / {self.to}"

    def estimate(self, evidence: Evidence) -> Estimate:
        """Estimate it."""
        some_ended_well(evidence, self.of, self.to)
        of, to = (
            arrivals(evidence, who, self.cost, self.metric, self.target)
            for who in (self.of, self.to)
        )
        seeds = sorted(set(of) & set(to))
        if not any(found[seed].reached for found in (of, to) for seed in seeds):
            raise NotReachedError(f"a run of {self.of} or {self.to} that gets there")
        refuse_the_start(of, to)
        found = ratio_of_medians([of[seed] for seed in seeds], [to[seed] for seed in seeds])
        bad = evidence.ended_badly(self.of, self.to).intersection(seeds)
        missing = len(set(of) | set(to)) - len(seeds)
        return Estimate(found.value, found.low, found.high, found.n, missing, len(bad))


def arrivals(
    evidence: Evidence, who: Who, cost: str, metric: str, target: float | BestOf | PrintedTarget
) -> dict[int, Arrival]:
    """Return by seed what somebody's run had cost when it got there, or had ended without.

    Args:
        evidence: The section.
        who: Whose runs.
        cost: What is counted, see `CostOfTarget`.
        metric: Column that is to fall to the target.
        target: Where to, see `CostOfTarget`.

    Raises:
        MissingError: The records do not have it, or times are asked for and runs shared a device.
    """
    rows, states = evidence.rows(who), evidence.states(who)
    if cost == "train_seconds_total":
        evidence.refuse_shared(evidence.label_of(who))
    for name in (cost, metric):
        if name not in rows:
            raise MissingError(f"{NAMES.get(name, name)} in the records of {who}")
    runs = {int(run["seed"].iloc[0]): run for run in split(rows, "seed")}
    if isinstance(target, BestOf | PrintedTarget):
        best = target.by_seed(evidence, metric)
        targets = {seed: met_from(value) for seed, value in best.items()}
    else:
        targets = dict.fromkeys(runs, target)
    found = {}
    for seed in sorted(runs.keys() & targets.keys()):
        there = arrival(runs[seed], cost, metric, targets[seed], rising=False)
        # A run that has met it and diverges later has no result either.
        found[seed] = there._replace(reached=there.reached and states[seed] not in ENDED_BADLY)
    return found


def refuse_the_start(of: Mapping[int, Arrival], to: Mapping[int, Arrival]) -> None:
    """Refuse targets that both runs of a seed were at when they began, which compares nothing.

    Args:
        of: When one method got there, by seed.
        to: When the other one did.

    Raises:
        MissingError: There is such a seed.
    """
    began = (
        {s for s, there in each.items() if there.reached and there.time == 0.0} for each in (of, to)
    )
    if set.intersection(*began):
        raise MissingError("a target that is not met before the first step")
