"""Statements about what it costs to get somewhere, in whatever is counted."""

from dataclasses import dataclass

from napts.analysis.columns import split
from napts.analysis.outcome import ENDED_BADLY
from napts.analysis.target import Arrival, arrival, ratio_of_medians
from napts.papers.claims.evidence import Evidence, MissingError, Who
from napts.papers.claims.paired import some_ended_well
from napts.papers.claims.verdict import Estimate, Region

NAMES = {
    "epoch": "iterations",
    "train_seconds_total": "seconds of training",
    "backwards_total": "gradients",
    "evaluations_total": "gradients and Hessian-vector products",
    "hessians_total": "Hessians",
    "hessian_products_total": "Hessian-vector products",
    "cg_iterations_total": "iterations of conjugate gradients",
}
"""What costs are counted in, in words. With the whole data as a batch an epoch is an iteration."""


@dataclass(frozen=True)
class CostOfTarget:
    """What it costs to bring a metric to a value, against another method.

    The ratio of the medians over seeds; the interval is that of the ratios seed by seed, see
    `ratio_of_medians`. A run that has ended without getting there, well or badly, would have cost
    more than it did, by any factor.

    Attributes:
        cost: What is counted, a running total of the epochs frame.
        of: Whose cost.
        to: Whose cost it is divided by.
        region: Where the ratio must lie.
        metric: Column that is to fall to the target.
        target: The value.
    """

    cost: str
    of: Who
    to: Who
    region: Region | None
    metric: str
    target: float

    def what(self) -> str:
        """Return the number in words."""
        wanted = f"{self.metric.removeprefix('val_').replace('_', ' ')} {self.target:g}"
        return f"{NAMES[self.cost]} to {wanted}, {self.of} / {self.to}"

    def estimate(self, evidence: Evidence) -> Estimate:
        """Estimate it."""
        some_ended_well(evidence, self.of, self.to)
        of, to = (self._arrivals(evidence, who) for who in (self.of, self.to))
        seeds = sorted(set(of) & set(to))
        if not any(found[seed].reached for found in (of, to) for seed in seeds):
            raise MissingError(f"a run of {self.of} or {self.to} that gets there")
        found = ratio_of_medians([of[seed] for seed in seeds], [to[seed] for seed in seeds])
        bad = evidence.ended_badly(self.of, self.to).intersection(seeds)
        missing = len(set(of) | set(to)) - len(seeds)
        return Estimate(found.value, found.low, found.high, found.n, missing, len(bad))

    def _arrivals(self, evidence: Evidence, who: Who) -> dict[int, Arrival]:
        """Return by seed what it had cost when a run got there, or had ended without."""
        rows, states = evidence.rows(who), evidence.states(who)
        for name in (self.cost, self.metric):
            if name not in rows:
                raise MissingError(f"{NAMES.get(name, name)} in the records of {who}")
        runs = {int(run["seed"].iloc[0]): run for run in split(rows, "seed")}
        found = {}
        for seed, run in runs.items():
            there = arrival(run, self.cost, self.metric, self.target, rising=False)
            # A run that has met it and diverges later has no result either.
            reached = there.reached and states[seed] not in ENDED_BADLY
            found[seed] = there._replace(reached=reached)
        return found
