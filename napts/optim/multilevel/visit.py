"""What one visit to a level carries from step to step: its position, and what it has left to go."""

import math

from napts.optim import vectors
from napts.optim.local_solver import Allowance, Found
from napts.optim.multilevel.level import Function, LevelProblem, Models
from napts.optim.multilevel.room import EXHAUSTED
from napts.optim.record import Trial
from napts.optim.vectors import Norm, Vector


class Visit:
    """One visit to a level.

    Gradients are evaluated only when asked for: the last step of a visit needs none.

    Args:
        problem: Where it begins.
        allowance: The radius of the first step, and how far all steps may lead.
        models: Makes the local models of a trust region.

    Attributes:
        origin: Where it began.
        radius: The current radius.
        trials: The steps that were judged.
    """

    def __init__(
        self, problem: LevelProblem, allowance: Allowance, models: Models | None = None
    ) -> None:
        self.radius = allowance.radius
        self._reach = allowance.radius if allowance.reach is None else allowance.reach
        self.trials: list[Trial] = []
        self.origin, self._models = problem.start, models
        self._first = problem
        self._norm: Norm = problem.norm
        self._function: Function = problem.function
        self._problem: LevelProblem | None = problem
        self._theta, self._loss = problem.start, None

    @property
    def theta(self) -> Vector:
        """Where it stands."""
        return self._theta

    @property
    def left(self) -> float:
        """How far it may still lead."""
        if self._reach == math.inf or self._theta is self.origin:
            return self._reach
        moved = vectors.norm(vectors.subtract(self._theta, self.origin), self._norm)
        return max(self._reach - vectors.to_host([moved])[0], 0.0)

    @property
    def exhausted(self) -> bool:
        """Whether next to nothing of the allowance is left."""
        return self._reach < math.inf and self.left <= EXHAUSTED * self._reach

    @property
    def allowance(self) -> Allowance:
        """What is left for the next step."""
        left = self.left
        return Allowance(min(self.radius, left), reach=left)

    @property
    def loss(self) -> float:
        """The value at the current point."""
        if self._problem is not None:
            return self._problem.loss
        if self._loss is None:
            self._loss = self._function.value(self._theta)
        return self._loss

    @property
    def problem(self) -> LevelProblem:
        """The level at the current point, with its gradient."""
        if self._problem is None:
            loss, slope = self._function.value_and_gradient(self._theta)
            known = loss if self._loss is None else self._loss
            self._problem = LevelProblem(
                self._function,
                self._theta,
                slope,
                known,
                models=self._models,
                norm=self._norm,
            )
        return self._problem

    def take(self, found: Found) -> None:
        """Go where a solver, a coarser level or a line search has led."""
        self.trials += found.trials
        if found.radius is not None:
            self.radius = found.radius
        theta = self.problem.variables if found.theta is None else found.theta
        if theta is not self._theta:
            self._theta, self._loss, self._problem = theta, found.loss, None

    def decrease(self) -> float:
        """Return how much the value has fallen since the visit began."""
        return self._first.loss - self.loss

    def go_on_with(self, function: Function) -> None:
        """Minimise another function from here on."""
        self._function, self._loss, self._problem = function, None, None

    def found(self) -> Found:
        """Return where it has led."""
        loss = self._loss if self._problem is None else self._problem.known_loss
        return Found(self._theta, loss, self.radius, tuple(self.trials))
