"""Shards of a batch: each is minimised over all parameters, and what they did is combined."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from napts.optim import vectors
from napts.optim.local_model import ModelFamily
from napts.optim.local_trust_region import LocalTrustRegion
from napts.optim.objective import Objective, Point
from napts.optim.part_passes import PartPasses
from napts.optim.preconditioner import Proposal
from napts.optim.record import PassCounts
from napts.optim.vectors import Layout, Norm, Vector
from napts.optim.weight_decay import PenalisedPasses


@dataclass(frozen=True, slots=True)
class Shards:
    """Proposes the sum, or the mean, of the steps of the shards of a batch.

    APTS in data (2023). Shard ``p`` minimises, by trust-region steps over all parameters,

        ``h_p(theta) = f_p(theta) + <grad f(theta_k) - grad f_p(theta_k), theta - theta_k>``,

    whose gradient at the iterate is that of the whole batch. In the 2-norm the steps are added,
    each of length at most ``radius / P``; in the infinity norm averaged, each of length at most
    ``radius``. The proposal promises the sum, or the mean, of what the shards found: to first order
    that is what the combined step brings.

    Attributes:
        count: Number of shards ``P``.
        solver: What each shard runs.
        family: The global local model; each shard starts with a copy of it.
        norm: Norm of the trust region.
        consistent: Add the first-order term; without it a shard minimises its own loss.
    """

    count: int
    solver: LocalTrustRegion
    family: ModelFamily
    norm: Norm
    consistent: bool = True

    @property
    def captured(self) -> None:
        """Nothing is cached."""
        return

    @property
    def parts(self) -> int:
        """The batch is evaluated by shards."""
        return self.count

    def propose(self, objective: Objective, point: Point, radius: float) -> Proposal:
        """Run the local trust region on every shard, starting from the iterate.

        Every evaluation of a shard counts as ``1 / P`` of a pass: at most ``nu`` forwards and ``nu
        - 1`` backwards, all shards together. Loss and gradient of the shards at the iterate are
        known from the linearisation.

        Args:
            objective: The batch loss, evaluated by shards; its parameters are moved.
            point: The iterate with its gradient.
            radius: Trust-region radius that the whole proposal keeps to.

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
            shard = _Shard(objective, point, passes, index, counts, consistent=self.consistent)
            theta, least = self.solver.minimise(
                shard, self.family.restricted(None), point.theta, shard.loss, shard.slope, longest
            )
            step = vectors.add_scaled(step, weight, vectors.subtract(theta, point.theta))
            gain += weight * (shard.loss - least)
        numbers = torch.tensor([gain, counts.forwards, counts.backwards], dtype=torch.float64)
        numbers = numbers.to(step[0].device)
        passes.replicas.add([*step, numbers])
        promised, forwards, backwards = numbers.tolist()
        objective.counts.forwards += forwards / self.count
        objective.counts.backwards += backwards / self.count
        return Proposal(vectors.add(point.theta, step), promised)

    def commit(self) -> None:
        """Nothing outlives the iteration."""

    def follow(self, sources: Sequence[int | None], layout: Layout) -> None:
        """Do nothing."""

    def state_dict(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Do nothing."""


class _Shard:
    """The loss ``h_p`` of one shard.

    Attributes:
        loss: Its value at the iterate.
        slope: Its gradient there.
    """

    def __init__(
        self,
        objective: Objective,
        point: Point,
        passes: PartPasses,
        index: int,
        counts: PassCounts,
        *,
        consistent: bool,
    ) -> None:
        self._objective = objective
        self._point = point
        self._passes = passes.part(index, counts)
        loss, found = passes.found[index]
        if objective.penalty is not None:
            parameters = objective.layout.parameters
            objective.layout.write(point.theta)  # where the last shard has left them
            self._passes = PenalisedPasses(self._passes, objective.penalty, parameters)
            loss = loss + objective.penalty.value(loss)
            found = objective.penalty.added_to(found, parameters)
        own, whole = objective.layout.flatten(found), point.model.gradient
        self.loss = vectors.to_host([loss])[0]
        self.slope = whole if consistent else own
        self._tilt = vectors.subtract(whole, own) if consistent else None

    def value(
        self, trial: Vector, predicted: Tensor | float, *, keep_graph: bool
    ) -> tuple[float, float]:
        self._objective.layout.write(trial)
        loss = self._objective.loss_by(self._passes, keep_graph=keep_graph)
        numbers = [loss, predicted]
        if self._tilt is not None:
            away = vectors.subtract(trial, self._point.theta)
            numbers.append(vectors.dot(self._tilt, away))
        value, promised, *tilted = vectors.to_host(numbers)
        return value + sum(tilted), promised

    def gradient(self) -> Vector:
        with self._objective.local_pass():
            found = self._passes.trial_gradient()
        own = self._objective.layout.flatten(found)
        return own if self._tilt is None else vectors.add(own, self._tilt)
