"""Shards of a batch: each is minimised over all parameters, and what they did is combined."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor

from napts.optim import vectors
from napts.optim.local_model import ModelFamily
from napts.optim.local_trust_region import LocalTrustRegion
from napts.optim.objective import Objective, Point
from napts.optim.passes import ClosurePasses
from napts.optim.preconditioner import Proposal
from napts.optim.record import PassCounts
from napts.optim.vectors import Norm, Vector


class SplitBatch:
    """A closure that also knows the loss of parts of its batch.

    Args:
        loss: Returns the mean loss of the samples that it is given, without ``backward()``.
        inputs: ``(n, ...)`` inputs of the batch.
        targets: ``(n, ...)`` targets.

    Example:
        >>> optimizer = napts.APTSD(model.parameters(), shards=4)
        >>> for inputs, targets in loader:
        ...     batch = napts.SplitBatch(lambda x, y: criterion(model(x), y), inputs, targets)
        ...     loss = optimizer.step(batch)
    """

    def __init__(
        self, loss: Callable[[Tensor, Tensor], Tensor], inputs: Tensor, targets: Tensor
    ) -> None:
        self._loss = loss
        self._inputs = inputs
        self._targets = targets

    def __call__(self) -> Tensor:
        """Return the mean loss of the batch."""
        return self._loss(self._inputs, self._targets)

    def part(self, index: int, count: int) -> Tensor:
        """Return the mean loss of one of ``count`` parts of almost equal size.

        Raises:
            ValueError: If there are fewer samples than parts.
        """
        size = len(self._targets)
        if size < count:
            raise ValueError(f"shards: found {count}, allowed: 1 to {size}, the batch's samples")
        own = slice(index * size // count, (index + 1) * size // count)
        return self._loss(self._inputs[own], self._targets[own])


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

    def propose(self, objective: Objective, point: Point, radius: float) -> Proposal:
        """Run the local trust region on every shard, starting from the iterate.

        Every evaluation of a shard counts as ``1 / P`` of a pass: a forward and backward for the
        consistency, at most ``nu`` forwards and ``nu - 1`` backwards, all shards together.

        Args:
            objective: The batch loss; its parameters are moved.
            point: The iterate with its gradient.
            radius: Trust-region radius that the whole proposal keeps to.

        Returns:
            The proposed parameters and what they promise.

        Raises:
            ValueError: If the optimizer's ``step`` was not given a :class:`SplitBatch`.
        """
        batch, counts = objective.closure, PassCounts()
        if not isinstance(batch, SplitBatch):
            raise ValueError(
                "APTSD needs to know the parts of a batch: write `optimizer.step(napts.SplitBatch("
                "lambda x, y: criterion(model(x), y), inputs, targets))`"
            )
        summed = self.norm == "l2"
        longest = radius / self.count if summed else radius
        weight = 1.0 if summed else 1.0 / self.count
        proposed, promised = point.theta, 0.0
        for index in range(self.count):
            loss = partial(batch.part, index, self.count)
            shard = _Shard(objective, point, loss, counts, consistent=self.consistent)
            value, slope = shard.linearise()
            theta, least = self.solver.minimise(
                shard, self.family.restricted(None), point.theta, value, slope, longest
            )
            proposed = vectors.add_scaled(proposed, weight, vectors.subtract(theta, point.theta))
            promised += weight * (value - least)
        objective.counts.forwards += counts.forwards / self.count
        objective.counts.backwards += counts.backwards / self.count
        return Proposal(proposed, promised)

    def commit(self) -> None:
        """Nothing outlives the iteration."""

    def state_dict(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Do nothing."""


class _Shard:
    """The loss ``h_p`` of one shard."""

    def __init__(
        self,
        objective: Objective,
        point: Point,
        loss: Callable[[], Tensor],
        counts: PassCounts,
        *,
        consistent: bool,
    ) -> None:
        self._objective = objective
        self._point = point
        self._passes = ClosurePasses(loss, objective.layout.parameters, counts)
        self._consistent = consistent
        self._tilt: Vector | None = None

    def linearise(self) -> tuple[float, Vector]:
        """Return loss and gradient at the iterate."""
        layout = self._objective.layout
        layout.write(self._point.theta)
        with self._objective.local_pass():
            loss, found = self._passes.linearise(None)
        own, whole = layout.flatten(found), self._point.model.gradient
        if self._consistent:
            self._tilt = vectors.subtract(whole, own)
        return vectors.to_host([loss])[0], whole if self._consistent else own

    def value(
        self, trial: Vector, predicted: Tensor | float, *, keep_graph: bool
    ) -> tuple[float, float]:
        self._objective.layout.write(trial)
        with self._objective.local_pass():
            loss = self._passes.trial() if keep_graph else self._passes.value()
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
