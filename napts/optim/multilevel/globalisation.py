"""How far a prolonged coarse step is taken: a search along it, or a test of its promise."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from napts.optim import vectors
from napts.optim.acceptance import RadiusRule, Reference, judge
from napts.optim.local_solver import Found
from napts.optim.multilevel.armijo import Armijo
from napts.optim.multilevel.level import LevelProblem
from napts.optim.vectors import Vector

Promise = Callable[[], float]
"""Returns the decrease of the coarse function; this may need an evaluation."""


class Globalisation(Protocol):
    """Decides how far a prolonged coarse step is taken."""

    def take(self, problem: LevelProblem, step: Vector, promise: Promise, radius: float) -> Found:
        """Take all of a step, a part of it, or nothing.

        Args:
            problem: The finer level, at the start of the step.
            step: The prolonged step.
            promise: What the coarse level promises.
            radius: The trust region's radius for which the step was made.

        Returns:
            Where it leads; the start itself if the step was refused.
        """
        ...


@dataclass(frozen=True, slots=True)
class LineSearch:
    """Backtracking from 1 along the step; no step if it does not descend.

    Attributes:
        search: The line search. The slides ask only for decrease, which its condition implies.
    """

    search: Armijo = field(default_factory=Armijo)

    def take(self, problem: LevelProblem, step: Vector, promise: Promise, radius: float) -> Found:
        """Search along the step."""
        (slope,) = vectors.to_host([vectors.dot(problem.slope, step)])
        if not slope < 0.0:
            return Found(problem.start)
        reached = self.search.search(problem.function, problem.start, problem.loss, slope, step)
        return Found(problem.start) if reached is None else Found(reached.theta, reached.loss)


@dataclass(frozen=True, slots=True)
class FixedStep:
    """A fixed part of the step, whatever its effect, as long as the result is finite.

    Attributes:
        length: Which part.
    """

    length: float = 1.0

    def take(self, problem: LevelProblem, step: Vector, promise: Promise, radius: float) -> Found:
        """Take it."""
        (length,) = vectors.to_host([vectors.norm(step, "l2")])
        if not math.isfinite(length):
            return Found(problem.start)
        return Found(vectors.add_scaled(problem.start, self.length, step))


@dataclass(frozen=True, slots=True)
class TrustRegion:
    """Tests the decrease of the fine function against that of the coarse one.

    Attributes:
        rule: How the radius follows the ratio.
        eta: Smallest ratio that is accepted; ``None`` for the rule's ``eta_1``.
        rounding: See :func:`napts.optim.acceptance.judge`.
    """

    rule: RadiusRule
    eta: float | None = None
    rounding: float = 0.0

    def take(self, problem: LevelProblem, step: Vector, promise: Promise, radius: float) -> Found:
        """Take the step if it brings enough of what was promised; the radius follows."""
        (length,) = vectors.to_host([vectors.norm(step, problem.norm)])
        loss = problem.loss
        predicted = self._promised(loss, promise()) if length > 0.0 else 0.0
        trial = vectors.add(problem.start, step)
        # Where nothing is promised the test has failed, whatever the value.
        value = problem.function.value(trial) if predicted > 0.0 else math.nan
        eta = self.rule.eta_1 if self.eta is None else self.eta
        verdict = judge(loss, value, predicted, Reference(loss, 0.0), eta, self.rounding)
        noted = verdict.on(
            "global", radius, loss, value, predicted, length, evaluated=predicted > 0.0
        )
        after = self.rule.update(radius, verdict)
        if not verdict.accepted:
            return Found(problem.start, loss, after, (noted,))
        return Found(trial, value, after, (noted,))

    def _promised(self, loss: float, decrease: float) -> float:
        """Return what a coarse decrease promises; something even if it is within rounding of 0."""
        within = self.rounding * abs(loss)
        return max(decrease, 0.5 * within) if abs(decrease) < within else decrease
