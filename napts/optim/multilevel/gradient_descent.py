"""Gradient steps as a local solver: of a fixed length, or found by the Armijo condition."""

from typing import Any, ClassVar

from napts.optim import vectors
from napts.optim.local_solver import Allowance, Found, LocalSolver
from napts.optim.multilevel.armijo import Armijo
from napts.optim.multilevel.level import LevelProblem
from napts.optim.multilevel.room import Room


class GradientDescent(LocalSolver[LevelProblem]):
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

    needs_values: ClassVar[bool] = True

    def __init__(
        self, steps: int = 1, length: float | None = None, search: Armijo | None = None
    ) -> None:
        self.steps = steps
        self.trial = 1.0
        self._length, self._search = length, search or Armijo()

    def minimise(self, problem: LevelProblem, allowance: Allowance) -> Found:
        """Take the steps, each cut to what is left of the allowance."""
        function, room = problem.function, Room(problem, allowance)
        theta, gradient, loss = problem.start, problem.slope, None
        for turn in range(self.steps):
            if turn:
                if room.nothing_left(theta):
                    break
                loss, gradient = function.value_and_gradient(theta)
            step = vectors.scale(-1.0, gradient)
            (length,) = vectors.to_host([vectors.norm(gradient, "l2")])
            longest = room.longest(theta, step)
            if self._length is not None:
                theta = vectors.add_scaled(theta, min(self._length, longest), step)
                loss = None
                continue
            if loss is None:
                loss = problem.loss
            first, slope = min(self.trial, longest), -length * length
            reached = self._search.search(function, theta, loss, slope, step, first)
            if reached is None:
                break
            theta, loss = reached.theta, reached.loss
            # A length that was cut to the allowance says nothing of longer ones.
            at_once = max(2.0 * reached.length, self.trial)
            self.trial = at_once if reached.turns == 0 else reached.length
        return Found(theta, loss)

    def state_dict(self) -> dict[str, Any]:
        """Return the next trial length."""
        return {"trial": self.trial}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a saved state."""
        self.trial = state["trial"]
