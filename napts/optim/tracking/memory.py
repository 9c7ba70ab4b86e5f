"""What a tracking method remembers from step to step."""

from dataclasses import dataclass, replace
from typing import Any

from napts.optim.tracking.evidence import Evidence
from napts.optim.vectors import Vector


@dataclass(frozen=True, slots=True)
class ProbedStep:
    """A step measured on its own batch, which waits for the next one.

    Attributes:
        theta: Where it started.
        direction: ``d``; the step is ``length * d``.
        length: Factor of the direction.
        promise: ``-length * g^T d``.
        before: Loss of its batch at its start.
        after: Loss of its batch at its end.
        gain: How far the probe may move the radius.
    """

    theta: Vector
    direction: Vector
    length: float
    promise: float
    before: float
    after: float
    gain: float

    def state_dict(self) -> dict[str, Any]:
        """Return all of it."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def of(cls, state: dict[str, Any]) -> "ProbedStep":
        """Return what :meth:`state_dict` saved."""
        vectors = {name: list(state[name]) for name in ("theta", "direction")}
        return cls(**{**state, **vectors})


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
