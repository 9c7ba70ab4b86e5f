"""Exact subdomains: each minimises the loss itself over its own parameters, the others frozen."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from napts.optim.local_model import ModelFamily
from napts.optim.local_trust_region import LocalTrustRegion
from napts.optim.objective import Objective, Point
from napts.optim.preconditioner import Proposal
from napts.optim.record import PassCounts
from napts.optim.replicas import ONE_REPLICA, Replicas
from napts.optim.subdomains import share_of_radius
from napts.optim.vectors import Layout, Vector


@dataclass(frozen=True, slots=True)
class ExactSubdomains:
    """Proposes the sum of the subdomains' steps on the loss itself.

    APTS in weights (arXiv 2312.13677), Algorithm 1: every subdomain takes a few trust-region steps
    over its own parameters from the same iterate; none sees another one's new weights. In one
    process they follow one another, several processes share them.

    Attributes:
        solver: What each subdomain runs.
        family: The global local model, whose restriction each subdomain starts with: for the second
            order with the pairs of the global one, which is how the histories are synchronised.
        budget: Share of the radius that a subdomain may use: 1 in the paper, 1/2 in its authors'
            code.
    """

    solver: LocalTrustRegion
    family: ModelFamily
    budget: float = 1.0

    @property
    def captured(self) -> None:
        """Nothing is cached: the whole network is evaluated."""
        return

    @property
    def parts(self) -> int:
        """The whole batch is evaluated."""
        return 0

    def propose(self, objective: Objective, point: Point, radius: float) -> Proposal:
        """Run the local trust region on every subdomain, starting from the iterate.

        Costs at most ``N * nu`` forwards and ``N * (nu - 1)`` backwards, which are counted as those
        of the whole network: the first local step reuses the global gradient. Where one subdomain
        holds everything, the loss it ends with is not evaluated again.

        Args:
            objective: The batch loss; its parameters are moved.
            point: The iterate with its gradient.
            radius: Trust-region radius that the whole proposal keeps to.

        Returns:
            The proposed parameters; what they promise is left to the global model.
        """
        loss, count = objective.loss_of(point), len(point.theta)
        longest = share_of_radius(objective.norm, self.budget * radius, count)
        replicas, before = objective.replicas, replace(objective.counts)
        found: dict[int, Tensor] = {}
        for block in replicas.own(count):
            start = point.theta[block]
            theta, _ = self.solver.minimise(
                _Block(objective, block, alone=count == 1),
                self.family.restricted(block),
                [start],
                loss,
                [point.model.gradient[block]],
                longest,
            )
            found[block] = theta[0]
            if count > 1:
                objective.layout.write_block(block, start)
        proposed = [
            found[block] if block in found else torch.zeros_like(start)
            for block, start in enumerate(point.theta)
        ]
        if replicas is not ONE_REPLICA:
            _exchange(replicas, proposed, objective.counts, before)
        return Proposal(proposed)

    def commit(self) -> None:
        """Nothing outlives the iteration."""

    def follow(self, sources: Sequence[int | None], layout: Layout) -> None:
        """Do nothing."""

    def state_dict(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Do nothing."""


def _exchange(replicas: Replicas, proposed: Vector, counts: PassCounts, before: PassCounts) -> None:
    """Take over the blocks of the other processes, which are 0 here, and count their passes."""
    forwards, backwards = counts.forwards - before.forwards, counts.backwards - before.backwards
    numbers = torch.tensor([forwards, backwards], dtype=torch.float64, device=proposed[0].device)
    replicas.add([*proposed, numbers])
    forwards, backwards = numbers.tolist()
    counts.forwards = before.forwards + forwards
    counts.backwards = before.backwards + backwards


@dataclass(frozen=True, slots=True)
class _Block:
    """The loss as a function of one block; an only one's latest trial may be the proposal."""

    objective: Objective
    block: int
    alone: bool

    def value(
        self, trial: Vector, predicted: Tensor | float, *, keep_graph: bool
    ) -> tuple[float, float]:
        keep_graph = keep_graph or self.alone
        return self.objective.evaluate_block(self.block, trial[0], predicted, keep_graph=keep_graph)

    def gradient(self) -> Vector:
        return [self.objective.block_gradient(self.block)]
