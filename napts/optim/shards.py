"""Shards of a batch: each is minimised over all parameters, and their steps are combined."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from napts.optim import vectors
from napts.optim.local_model import LocalModels
from napts.optim.local_solver import Allowance, LocalSolver, ValuedProblem
from napts.optim.objective import Objective, Point
from napts.optim.passes import ClosurePasses, Passes
from napts.optim.preconditioner import Preconditioner, Proposal
from napts.optim.record import PassCounts
from napts.optim.vectors import Norm, Vector
from napts.optim.weight_decay import PenalisedPasses


@dataclass(frozen=True, slots=True)
class Shards(Preconditioner):
    """Proposes the sum, or the mean, of the steps of the shards of a batch.

    APTS in data (2023). Shard ``p`` minimises, by trust-region steps over all parameters,

        ``h_p(theta) = f_p(theta) + <grad f(theta_k) - grad f_p(theta_k), theta - theta_k>``,

    whose gradient at the iterate is that of the whole batch. In the 2-norm the steps are added, and
    each has length at most ``radius / P``; in the infinity norm they are averaged, and each has
    length at most ``radius``. The proposal promises the sum, or the mean, of the reductions that
    the shards found: to first order that is what the combined step gains.

    Attributes:
        count: Number of shards ``P``.
        solver: What each shard runs.
        models: The local model of the whole; each shard starts with a copy of it.
        norm: Norm of the trust region.
        consistent: Add the first-order term; without it a shard minimises its own loss.
    """

    count: int
    solver: LocalSolver[ValuedProblem]
    models: LocalModels
    norm: Norm
    consistent: bool = True

    @property
    def parts(self) -> int:
        """The batch is evaluated by shards."""
        return self.count

    def propose(self, objective: Objective, point: Point, radius: float) -> Proposal:
        """Run the local solver on every shard, starting from the iterate.

        Every evaluation of a shard counts as ``1 / P`` of a pass: at most ``nu`` forwards and
        ``nu - 1`` backwards for all shards together. Loss and gradient of the shards at the iterate
        are known from the linearisation.

        Args:
            objective: The batch loss, evaluated by shards; its parameters are moved.
            point: The iterate with its gradient.
            radius: Trust-region radius for the whole proposal.

        Returns:
            The proposed parameters and what they promise.
        """
        passes, counts = objective.parts, PassCounts()
        assert passes is not None  # asked for by :attr:`parts`
        summed = self.norm == "l2"
        longest = radius / self.count if summed else radius
        weight = 1.0 if summed else 1.0 / self.count
        step, gain = [torch.zeros_like(block) for block in point.theta], 0.0
        for index in passes.found:
            shard = _Shard(self, objective, point, passes.part(index, counts), passes.found[index])
            # One at a time: all of them move the same parameters.
            self.solver.begin([shard])
            found = self.solver.minimise(shard, Allowance(longest))
            theta = objective.layout.read() if found.theta is None else found.theta
            step = vectors.add_scaled(step, weight, vectors.subtract(theta, point.theta))
            gain += math.nan if found.loss is None else weight * (shard.loss - found.loss)
        numbers = torch.tensor([gain, counts.forwards, counts.backwards], dtype=torch.float64)
        numbers = numbers.to(step[0].device)
        passes.replicas.add([*step, numbers])
        promised, forwards, backwards = numbers.tolist()
        objective.counts.forwards += forwards / self.count
        objective.counts.backwards += backwards / self.count
        # Where the shards' losses are not known, the global model tells what is promised.
        known = None if math.isnan(promised) else promised
        return Proposal(vectors.add(point.theta, step), known)


class _Shard(ValuedProblem):
    """The loss ``h_p`` of one shard."""

    def __init__(
        self,
        shards: Shards,
        objective: Objective,
        point: Point,
        passes: ClosurePasses,
        found: tuple[Tensor, list[Tensor]],
    ) -> None:
        self.norm = shards.norm
        self._models, self._objective, self._point = shards.models, objective, point
        self._passes: Passes = passes
        self._has_graph = self._moved = False
        loss, gradient = found
        if objective.penalty is not None:
            parameters = objective.layout.parameters
            objective.layout.write(point.theta)  # where the last shard has left them
            self._passes = PenalisedPasses(passes, objective.penalty, parameters)
            loss = loss + objective.penalty.value(loss)
            gradient = objective.penalty.added_to(gradient, parameters)
        own, whole = objective.layout.flatten(gradient), point.model.gradient
        self._loss = vectors.to_host([loss])[0]
        self.slope = whole if shards.consistent else own
        self._tilt = vectors.subtract(whole, own) if shards.consistent else None

    @property
    def start(self) -> Vector:
        return self._point.theta

    @property
    def loss(self) -> float:
        return self._loss

    def models(self) -> LocalModels:
        return self._models.restricted(None)

    def _place(self) -> None:
        """Bring the parameters to the iterate, from where the last shard has left them."""
        if not self._moved:
            self._moved = True
            self._objective.layout.write(self._point.theta)

    def scratch(self) -> Vector:
        self._place()
        layout = self._objective.layout
        return [layout.buffer(block) for block in range(len(layout.blocks))]

    def move(self, factor: float | Tensor) -> None:
        for block in range(len(self._point.theta)):
            self._objective.layout.shift(block, factor)
        self._has_graph = False

    def value(
        self, trial: Vector, predicted: Tensor | float, *, keep_graph: bool
    ) -> tuple[float, float]:
        self._moved = True
        self._has_graph = keep_graph
        self._objective.layout.write(trial)
        loss = self._objective.loss_by(self._passes, keep_graph=keep_graph)
        numbers = [loss, predicted]
        if self._tilt is not None:
            away = vectors.subtract(trial, self._point.theta)
            numbers.append(vectors.dot(self._tilt, away))
        value, promised, *tilted = vectors.to_host(numbers)
        return value + sum(tilted), promised

    def gradient(self) -> Vector:
        if not self._has_graph:
            self._place()
            self._objective.loss_by(self._passes, keep_graph=True)
        self._has_graph = False
        with self._objective.local_pass():
            found = self._passes.trial_gradient()
        own = self._objective.layout.flatten(found)
        return own if self._tilt is None else vectors.add(own, self._tilt)
