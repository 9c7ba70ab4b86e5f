"""Steps along descent directions, of a fixed length or found by the Armijo condition."""

from abc import abstractmethod
from typing import ClassVar

from napts.optim import vectors
from napts.optim.local_solver import Allowance, Found, LocalSolver
from napts.optim.multilevel.armijo import Armijo, Reached
from napts.optim.multilevel.level import Function, LevelProblem
from napts.optim.multilevel.room import Room
from napts.optim.vectors import Vector


class Descent(LocalSolver[LevelProblem]):
    """Takes steps on a level, in directions that a subclass defines.

    Args:
        steps: Their number.
        length: Fixed factor of each; ``None`` for the line search.
        search: The line search.
    """

    needs_values: ClassVar[bool] = True

    def __init__(
        self, steps: int = 1, length: float | None = None, search: Armijo | None = None
    ) -> None:
        self.steps = steps
        self._length, self._search = length, search or Armijo()

    @abstractmethod
    def _direction(self, function: Function, theta: Vector, gradient: Vector) -> Vector:
        """Return the step of length 1."""

    @property
    def _first(self) -> float:
        """The first trial length of the line search."""
        return 1.0

    def _note(self, reached: Reached) -> None:
        """Note where the line search has led."""

    def minimise(self, problem: LevelProblem, allowance: Allowance) -> Found:
        """Take the steps, each cut to what is left of the allowance."""
        function, room = problem.function, Room(problem, allowance)
        theta, gradient, loss = problem.start, problem.slope, None
        for turn in range(self.steps):
            if turn:
                if room.nothing_left(theta):
                    break
                loss, gradient = function.value_and_gradient(theta)
            step = self._direction(function, theta, gradient)
            longest = room.longest(theta, step)
            if self._length is not None:
                theta, loss = vectors.add_scaled(theta, min(self._length, longest), step), None
                continue
            if loss is None:
                loss = problem.loss
            (slope,) = vectors.to_host([vectors.dot(gradient, step)])
            first = min(self._first, longest)
            reached = self._search.search(function, theta, loss, slope, step, first)
            if reached is None:
                break
            theta, loss = reached.theta, reached.loss
            self._note(reached)
        return Found(theta, loss)
