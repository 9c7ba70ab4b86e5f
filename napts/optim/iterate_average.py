"""The average of iterates at which a method is evaluated."""

from typing import Any

from torch import Tensor

from napts.optim.relayout import Move
from napts.optim.vectors import Layout, Vector


def weight(steps: float, exponent: float) -> float:
    """Return the weight of the newest of so many iterates, ``(1 + gamma) / (t + gamma)``.

    Shamir and Zhang, *Stochastic Gradient Descent for Non-smooth Optimization* (2013), section 4:
    the larger the exponent, the more recent the iterates in the average; 0 is the plain mean.

    Args:
        steps: ``t``, at least 1.
        exponent: ``gamma``.
    """
    return (1.0 + exponent) / (steps + exponent)


class IterateAverage:
    """``a_t = (1 - w) a_(t-1) + w theta_t`` with the weights of :func:`weight`.

    Args:
        exponent: ``gamma``.

    Attributes:
        steps: Number of iterates in the average.
        vector: The average; ``None`` before the first.
    """

    def __init__(self, exponent: float) -> None:
        self.exponent = exponent
        self.steps = 0
        self.vector: Vector | None = None

    def add(self, layout: Layout) -> None:
        """Take in the iterate that was last written to a layout."""
        self.steps += 1
        if self.vector is None:
            self.vector = layout.written()
            return
        share = weight(self.steps, self.exponent)
        for index, flat in enumerate(self.vector):
            flat.lerp_(layout.buffer(index), share)

    def move(self, move: Move) -> None:
        """Follow a change of the trained parameters; new ones come with their current values."""
        self.vector = None if self.vector is None else move(self.vector)

    def state_dict(self) -> dict[str, Any]:
        """Return the average and how many iterates are in it."""
        return {"steps": self.steps, "average": self.vector}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a saved average."""
        self.steps = state["steps"]
        saved: list[Tensor] | None = state["average"]
        self.vector = None if saved is None else list(saved)
