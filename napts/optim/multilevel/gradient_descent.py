"""Gradient steps as a local solver: of a fixed length, or found by the Armijo condition."""

from typing import Any

from napts.optim import vectors
from napts.optim.multilevel.armijo import Armijo, Reached
from napts.optim.multilevel.descent import Descent
from napts.optim.multilevel.level import Function
from napts.optim.vectors import Vector


class GradientDescent(Descent):
    """Takes gradient steps on a level.

    With a line search, the first trial length is twice the last one if that was accepted at once,
    else the last one that was accepted (our choice); it is remembered from call to call.

    Args:
        steps: Their number.
        length: Fixed factor of the gradient; ``None`` for the line search.
        search: The line search.

    Attributes:
        trial: The next first trial length of the line search.
    """

    def __init__(
        self, steps: int = 1, length: float | None = None, search: Armijo | None = None
    ) -> None:
        super().__init__(steps, length, search)
        self.trial = 1.0

    def _direction(self, function: Function, theta: Vector, gradient: Vector) -> Vector:
        return vectors.scale(-1.0, gradient)

    @property
    def _first(self) -> float:
        return self.trial

    def _note(self, reached: Reached) -> None:
        # A length that was cut to the allowance says nothing of longer ones.
        at_once = max(2.0 * reached.length, self.trial)
        self.trial = at_once if reached.turns == 0 else reached.length

    def state_dict(self) -> dict[str, Any]:
        """Return the next trial length."""
        return {"trial": self.trial}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a saved state."""
        self.trial = state["trial"]
