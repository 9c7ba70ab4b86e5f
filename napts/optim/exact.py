"""Exact subdomains: each minimises the loss itself over its own parameters, the others frozen."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from napts.optim.local_model import LocalModels
from napts.optim.local_solver import Allowance, LocalSolver, ValuedProblem
from napts.optim.objective import Objective, Point
from napts.optim.preconditioner import Preconditioner, Proposal
from napts.optim.record import PassCounts
from napts.optim.replicas import ONE_REPLICA, Replicas
from napts.optim.subdomains import share_of_radius
from napts.optim.vectors import Vector


@dataclass(frozen=True, slots=True)
class ExactSubdomains(Preconditioner):
    """Proposes the sum of the subdomains' steps on the loss itself.

    APTS in weights (arXiv 2312.13677), Algorithm 1: every subdomain takes a few trust-region steps
    over its own parameters from the same iterate; none sees the new weights of another. One process
    runs them one after the other; several processes share them.

    Attributes:
        solver: What each subdomain runs.
        models: The local model of the whole, whose restriction each subdomain starts with. For the
            second order that includes its pairs, which is how the histories are synchronised.
        budget: Share of the radius that a subdomain may use: 1 in the paper, 1/2 in its authors'
            code.
    """

    solver: LocalSolver[ValuedProblem]
    models: LocalModels
    budget: float = 1.0

    def propose(self, objective: Objective, point: Point, radius: float) -> Proposal:
        """Run the local solver on every subdomain, starting from the iterate.

        With ``nu`` trust-region steps this costs at most ``N * nu`` forwards and ``N * (nu - 1)``
        backwards, counted as passes of the whole network: the first local step reuses the global
        gradient. If one subdomain holds everything, the loss it ends with is not evaluated again.

        Args:
            objective: The batch loss; its parameters are moved.
            point: The iterate with its gradient.
            radius: Trust-region radius for the whole proposal.

        Returns:
            The proposed parameters; the global model computes what they promise.
        """
        loss, count = objective.loss_of(point), len(point.theta)
        longest = share_of_radius(objective.norm, self.budget * radius, count)
        replicas, before = objective.replicas, replace(objective.counts)
        own = replicas.own(count)
        problems = {block: _Block(self, objective, point, loss, block) for block in own}
        self.solver.begin(list(problems.values()))
        found: dict[int, Tensor] = {}
        for block, problem in problems.items():
            theta = self.solver.minimise(problem, Allowance(longest)).theta
            found[block] = objective.layout.read_block(block) if theta is None else theta[0]
            if count > 1:
                objective.layout.write_block(block, point.theta[block])
        proposed = [
            found[block] if block in found else torch.zeros_like(start)
            for block, start in enumerate(point.theta)
        ]
        if replicas is not ONE_REPLICA:
            _exchange(replicas, proposed, objective.counts, before)
        return Proposal(proposed)


def _exchange(replicas: Replicas, proposed: Vector, counts: PassCounts, before: PassCounts) -> None:
    """Take over the other processes' blocks, which are 0 here, and count their passes."""
    forwards, backwards = counts.forwards - before.forwards, counts.backwards - before.backwards
    numbers = torch.tensor([forwards, backwards], dtype=torch.float64, device=proposed[0].device)
    replicas.add([*proposed, numbers])
    forwards, backwards = numbers.tolist()
    counts.forwards = before.forwards + forwards
    counts.backwards = before.backwards + backwards


class _Block(ValuedProblem):
    """The loss as a function of one block; a sole block's latest trial may be the proposal."""

    def __init__(
        self, subdomains: ExactSubdomains, objective: Objective, point: Point, loss: float, at: int
    ) -> None:
        self.norm = objective.norm
        self.slope = [point.model.gradient[at]]
        self._models, self._objective, self._block = subdomains.models, objective, at
        self._start, self._loss, self._alone = point.theta[at], loss, len(point.theta) == 1
        self._has_graph = False

    @property
    def start(self) -> Vector:
        return [self._start]

    @property
    def loss(self) -> float:
        return self._loss

    def models(self) -> LocalModels:
        return self._models.restricted(self._block)

    def scratch(self) -> Vector:
        return [self._objective.layout.buffer(self._block)]

    def move(self, factor: float | Tensor) -> None:
        self._objective.layout.shift(self._block, factor)
        self._has_graph = False

    def value(
        self, trial: Vector, predicted: Tensor | float, *, keep_graph: bool
    ) -> tuple[float, float]:
        self._has_graph = keep_graph
        keep_graph = keep_graph or self._alone
        return self._objective.evaluate_block(
            self._block, trial[0], predicted, keep_graph=keep_graph
        )

    def gradient(self) -> Vector:
        if not self._has_graph:
            self._objective.loss_here(keep_graph=True)
        self._has_graph = False
        return [self._objective.block_gradient(self._block)]
