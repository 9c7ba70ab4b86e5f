"""What a tracking method remembers from step to step."""

from dataclasses import dataclass, replace
from typing import Any

import torch

from napts.optim import vectors
from napts.optim.communicator import Share
from napts.optim.objective import Objective, Point
from napts.optim.tracking.evidence import Evidence, Probe
from napts.optim.vectors import Vector

ROUNDINGS = 16.0
"""A promise below so many roundings of the loss cannot be measured (our choice)."""


@dataclass(frozen=True, slots=True)
class ProbedStep:
    """A step measured on its own batch, which waits for the next one.

    Attributes:
        theta: Where it started; ``None`` if that is taken to be one such step before the place
            where the next one starts, which weight decay may have moved.
        direction: ``d``; the step is ``length * d``.
        length: Factor of the direction.
        promise: ``-length * g^T d``.
        before: Loss of its batch at its start.
        after: Loss of its batch at its end.
        gain: How far the probe may move the radius.
    """

    theta: Vector | None
    direction: Vector
    length: float
    promise: float
    before: float
    after: float
    gain: float

    @property
    def measurable(self) -> bool:
        """Whether the promise stands out from the rounding of the loss."""
        rounding = torch.finfo(self.direction[0].dtype).eps * abs(self.before)
        return self.promise > ROUNDINGS * rounding

    def seen_by(self, objective: Objective, start: Point) -> Probe:
        """Measure the step on the next batch: one forward pass, one transfer.

        The parameters may be left where the step started.

        Args:
            objective: The loss of the next batch.
            start: Its iterate.
        """
        theta = self.theta
        if theta is None:
            theta = vectors.add_scaled(start.theta, -self.length, self.direction)
        slope = objective.slope(start, self.direction)
        shares: list[Share] = [(start.loss, "sum"), (slope, "sum")]
        before, after, inner = objective.loss_beside(theta, shares)
        return Probe(
            promise=self.promise,
            before=self.before,
            after=self.after,
            next_before=before,
            next_after=after,
            next_slope=-self.length * inner,
        )

    def state_dict(self) -> dict[str, Any]:
        """Return all of it."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def of(cls, state: dict[str, Any]) -> "ProbedStep":
        """Return what :meth:`state_dict` saved."""
        theta = state["theta"]
        own = {
            "theta": None if theta is None else list(theta),
            "direction": list(state["direction"]),
        }
        return cls(**{**state, **own})


@dataclass(frozen=True, slots=True)
class Memory:
    """Numbers and vectors that the next step depends on, besides moments and the average.

    Attributes:
        radius: The trust-region radius.
        evidence: What probed steps brought.
        steps: Steps so far, rejected ones included.
        pending: The last step, if it was probed.
        previous: The last iterate, to which a step leads back whose loss is not finite.
    """

    radius: float
    evidence: Evidence
    steps: int = 0
    pending: ProbedStep | None = None
    previous: Vector | None = None

    def moved(self) -> "Memory":
        """Return what is left if other parameters are trained: radius and evidence."""
        return replace(self, pending=None, previous=None)

    def state_dict(self) -> dict[str, Any]:
        """Return it as numbers and vectors."""
        return {
            "radius": self.radius,
            "evidence": self.evidence.state_dict(),
            "steps": self.steps,
            "pending": None if self.pending is None else self.pending.state_dict(),
            "previous": self.previous,
        }

    def restored(self, state: dict[str, Any]) -> "Memory":
        """Return a saved memory."""
        pending, previous = state["pending"], state["previous"]
        return Memory(
            radius=state["radius"],
            evidence=self.evidence.restored(state["evidence"]),
            steps=state["steps"],
            pending=None if pending is None else ProbedStep.of(pending),
            previous=None if previous is None else list(previous),
        )
