"""Statements about the time of parallel devices: modelled from counts, or measured."""

import math

from napts.analysis.columns import floats
from napts.papers.claims.costs import CostOfTarget
from napts.papers.claims.evidence import BySeed, Evidence, MissingError, Who
from napts.papers.claims.paired import ratio, some_ended_well
from napts.papers.claims.rules import Compared
from napts.papers.claims.verdict import Estimate
from napts.papers.cost_model import FOUR_DEVICES, Passes
from napts.records import RunRecord


class ModelledTime(Compared):
    """The ratio of the times of two methods' counted passes on four devices, paired by seed.

    See `napts.papers.cost_model`. The quantity is not used.
    """

    def what(self) -> str:
        """Return the number in words."""
        return f"modelled time on four devices, {self.of} / {self.to}"

    def estimate(self, evidence: Evidence) -> Estimate:
        """Estimate it."""
        some_ended_well(evidence, self.of, self.to)
        of, to = (_modelled(evidence, who) for who in (self.of, self.to))
        return ratio(of, to, evidence.ended_badly(self.of, self.to), f"time of {self.to}")


class TimeOnRanks(Compared):
    """The ratio of two methods' times if every rank had a device or a core of its own."""

    def what(self) -> str:
        """Return the number in words."""
        return f"time per epoch on ranks, {self.of} / {self.to}"

    def estimate(self, evidence: Evidence) -> Estimate:
        """Estimate it."""
        labels = {evidence.label_of(self.of), evidence.label_of(self.to)}
        if not all(_apart(run) for label in labels for run in evidence.records_of(label)):
            raise MissingError("runs with a device or a core for every subdomain")
        some_ended_well(evidence, self.of, self.to)
        of, to = (evidence.rate(who, self.quantity) for who in (self.of, self.to))
        return ratio(of, to, evidence.ended_badly(self.of, self.to), f"time of {self.to}")


class SecondsOnRanks(CostOfTarget):
    """The seconds to a target, if one method's ranks had a device or a core each."""

    def what(self) -> str:
        """Return the number in words."""
        return f"{super().what()}, the former on ranks"

    def estimate(self, evidence: Evidence) -> Estimate:
        """Estimate it."""
        if not all(_on_ranks(run) for run in evidence.records_of(evidence.label_of(self.of))):
            raise MissingError(f"runs of {self.of} on ranks with a device or a core each")
        return super().estimate(evidence)


def _modelled(evidence: Evidence, who: Who) -> BySeed:
    names = [f"{name}_per_batch" for name in ("forwards", "backwards", "local_passes")]
    counts = [evidence.rate(who, name) for name in names]
    fractions = floats(evidence.rows(who), "local_fraction")
    if not len(fractions):
        raise MissingError(f"an epoch of {who}")
    fraction = float(fractions.max())
    modelled: BySeed = {}
    for seed in counts[0]:
        forwards, backwards, local = (by_seed[seed] for by_seed in counts)
        # A run that ended badly has infinite counts, one of them is enough.
        used = fraction * local if math.isfinite(local) else local
        modelled[seed] = FOUR_DEVICES.cost(Passes(forwards, backwards, used))
    return modelled


def _apart(run: RunRecord) -> bool:
    """Tell whether the subdomains of a run were on ranks with a device or a core each."""
    stages = (run.spec.get("pipeline") or {}).get("stages", 2)
    ranks = run.environment.get("ranks") or 1
    return bool(run.spec.get("pipeline")) and ranks >= stages and _on_ranks(run)


def _on_ranks(run: RunRecord) -> bool:
    """Tell whether ranks with a device or a core each shared a run."""
    ranks = run.environment.get("ranks") or 1
    if ranks < 2:
        return False
    if run.environment.get("gpu"):
        return True  # NCCL takes no two ranks on one device
    needed = ranks * (run.environment.get("threads") or 1)
    return (run.environment.get("cpu_cores") or 0) >= needed
