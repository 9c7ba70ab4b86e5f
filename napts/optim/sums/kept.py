"""Loss and gradient at an iterate, kept for the next step, which may start there."""

from dataclasses import dataclass, replace
from typing import Any

import torch

from napts.optim.batch import Batch
from napts.optim.sums.counts import CountedSum
from napts.optim.sums.finite_sum import FiniteSum
from napts.optim.vectors import Vector


@dataclass(frozen=True, slots=True)
class Kept:
    """Loss and gradient at an iterate.

    Attributes:
        theta: The iterate.
        loss: The loss there.
        gradient: The gradient there.
        of: What they belong to; ``None`` if they come from a saved state and must be verified.
        key: The ``function_key`` of that batch, which identifies another one with the same loss.
    """

    theta: Vector
    loss: float
    gradient: Vector
    of: Batch | None
    key: str | None = None

    def known(self, batch: Batch, theta: Vector) -> bool:
        """Tell whether they belong to a batch at these parameters."""
        same = self.of is batch or (self.key is not None and self.key == batch.function_key)
        return same and _equal(self.theta, theta)

    def confirmed(self, batch: Batch, total: CountedSum, theta: Vector) -> "Kept | None":
        """Return them for a batch if the saved values agree with an evaluation now.

        That evaluation is not part of the method and is not counted.
        """
        if self.of is not None or not _equal(self.theta, theta):
            return None
        loss, gradient = total.uncounted.value_and_gradient(theta)
        same = loss == self.loss and _equal(gradient, self.gradient)
        return replace(self, of=batch, key=batch.function_key) if same else None

    def saved(self) -> dict[str, Any] | None:
        """Return the part to save: only what belongs to a sum that may come again."""
        if self.key is None and self.of is not None and not isinstance(self.of, FiniteSum):
            return None
        return {
            "theta": self.theta,
            "loss": self.loss,
            "gradient": self.gradient,
            "key": self.key,
        }


def _equal(first: Vector, second: Vector) -> bool:
    if len(first) != len(second):
        return False
    return all(a.shape == b.shape and torch.equal(a, b) for a, b in zip(first, second, strict=True))
