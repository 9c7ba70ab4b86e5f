"""The claims about ASPQN and MSPQN, from the slides and the abstract of their paper.

As on the slides, the target is the best error that L-BFGS reaches, here seed by seed, so that the
claims can be tested on problems of any size. Thresholds are ours and were fixed before the runs:
"far fewer" iterations are at most a fifth. The claims name no units of cost other than iterations
and time, so the others are only reported: gradients, including those of line searches, are what one
process pays for. The cost of the errors printed on the slides is also reported, if a run gets
there. Time with a processor for each subdomain is modelled by gradients in parallel; where runs of
ASPQN were on ranks with a core or a device each, their measured seconds must agree.
"""

import math
from dataclasses import dataclass

import numpy as np

from napts.papers.claims.claim import Claim
from napts.papers.claims.costs import (
    BestOf,
    CostOfTarget,
    PrintedTarget,
    arrivals,
    refuse_the_start,
)
from napts.papers.claims.evidence import BySeed, Evidence, MissingError, Who
from napts.papers.claims.paired import ratio, some_ended_well
from napts.papers.claims.times import SecondsOnRanks
from napts.papers.claims.verdict import Estimate, Region
from napts.records.metric import Metric

ERROR = Metric("relative_error", "min")
_COLUMN = ERROR.column("val")
_SPQN = "SPQN (arXiv 2306.17648)"

_ASPQN, _MSPQN = Who("ASPQN"), Who("MSPQN")
_LBFGS = Who("MomentumLBFGS", {"pairs": 3, "momentum": 0.9}, "L-BFGS")
_ADAM = Who("Adam", tuned=True)

BEST_OF_LBFGS = BestOf(_LBFGS)
SLIDES_TARGET = PrintedTarget({"burgers": 4.6e-4, "klein-gordon": 6.1e-4}, "the slides")
"""The best errors of L-BFGS on the slides, as far as they print them."""


@dataclass(frozen=True)
class LowestRatio:
    """The ratio of the smallest values that two methods reach, paired by seed.

    Attributes:
        of: The method whose value it is.
        to: The method whose value it is divided by.
        region: Where the ratio must lie.
    """

    of: Who
    to: Who
    region: Region | None

    def what(self) -> str:
        """Return the number in words."""
        return f"best relative error, {self.of} / {self.to}"

    def estimate(self, evidence: Evidence) -> Estimate:
        """Estimate it; a run that ended badly has an infinite error."""
        some_ended_well(evidence, self.of, self.to)
        bad = evidence.ended_badly(self.of, self.to)
        of, to = (_lowest(evidence, who) for who in (self.of, self.to))
        return ratio(of, to, bad, f"an error of {self.to}")


@dataclass(frozen=True)
class ShareReaching:
    """The share of seeds with which one method reaches the best error of another.

    Attributes:
        of: The method that should reach it.
        target: The method whose best error is the target.
        region: Where the share must lie.
    """

    of: Who
    target: Who
    region: Region | None

    def what(self) -> str:
        """Return the number in words."""
        return f"share of seeds with which {self.of} reaches the best error of {self.target}"

    def estimate(self, evidence: Evidence) -> Estimate:
        """Return it, exactly."""
        some_ended_well(evidence, self.of, self.target)
        best = BestOf(self.target)
        found, setting = (
            arrivals(evidence, who, "epoch", _COLUMN, best) for who in (self.of, self.target)
        )
        refuse_the_start(found, setting)
        shared = sorted(found.keys() & setting.keys())
        if not shared:
            raise MissingError(f"runs of {self.of} and {self.target} with the same seeds")
        share = float(np.mean([found[seed].reached for seed in shared]))
        bad = evidence.ended_badly(self.of).intersection(shared)
        missing = len(found.keys() | setting.keys()) - len(shared)
        return Estimate(share, share, share, len(shared), missing, len(bad))


def _lowest(evidence: Evidence, who: Who) -> BySeed:
    found = BestOf(who).by_seed(evidence, _COLUMN)
    return {seed: found.get(seed, math.inf) for seed in evidence.states(who)}


def _cost(
    count: str,
    of: Who,
    to: Who,
    region: Region | None = None,
    target: BestOf | PrintedTarget = BEST_OF_LBFGS,
) -> CostOfTarget:
    return CostOfTarget(count, of, to, region, _COLUMN, target)


_LESS, _FAR_FEWER = Region(at_most=1.0), Region(at_most=0.2)

QUASI_NEWTON = (
    Claim(
        "P1",
        "ASPQN and MSPQN converge in far fewer iterations, to a lower error than LBFGS and Adam.",
        f"{_SPQN}, abstract",
        (
            *(_cost("epoch", of, _LBFGS, _FAR_FEWER) for of in (_ASPQN, _MSPQN)),
            *(LowestRatio(of, to, _LESS) for of in (_ASPQN, _MSPQN) for to in (_LBFGS, _ADAM)),
            *(_cost("backwards_total", of, _LBFGS) for of in (_ASPQN, _MSPQN)),
            *(_cost("gradients_published_total", of, _LBFGS) for of in (_ASPQN, _MSPQN)),
            *(
                _cost(count, of, _LBFGS, target=SLIDES_TARGET)
                for count in ("epoch", "backwards_total")
                for of in (_ASPQN, _MSPQN)
            ),
        ),
        metric=ERROR,
    ),
    Claim(
        "P2",
        "ASPQN is fastest in wall time through model parallelism; MSPQN takes fewer iterations.",
        f"{_SPQN}, slides",
        (
            *(_cost("gradients_concurrent_total", _ASPQN, to, _LESS) for to in (_LBFGS, _MSPQN)),
            _cost("epoch", _MSPQN, _ASPQN, _LESS),
            *(_cost("train_seconds_total", _ASPQN, to) for to in (_LBFGS, _MSPQN)),
        ),
        where_there=tuple(
            SecondsOnRanks("train_seconds_total", _ASPQN, to, _LESS, _COLUMN, BEST_OF_LBFGS)
            for to in (_LBFGS, _MSPQN)
        ),
        metric=ERROR,
    ),
    Claim(
        "P3",
        "Adam never reaches the error that LBFGS reaches.",
        f"{_SPQN}, slides",
        (ShareReaching(_ADAM, _LBFGS, Region(0.0, 0.0)),),
        metric=ERROR,
    ),
)
