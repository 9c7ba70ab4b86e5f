"""What is left of an allowance, for solvers without a radius of their own."""

import math

from napts.optim import vectors
from napts.optim.local_solver import Allowance, ValuedProblem
from napts.optim.vectors import Norm, Vector

EXHAUSTED = 1e-3
"""Share of the initial allowance below which nothing is left, as in utopia's code."""


class Room:
    """How far further steps from a start may lead.

    Args:
        problem: What is minimised; lengths are measured from its start.
        allowance: How far all steps may lead; its radius must not be shared with others.
    """

    def __init__(self, problem: ValuedProblem, allowance: Allowance) -> None:
        self._norm: Norm = problem.norm
        self._start = problem.start
        reach = math.inf if allowance.reach is None else allowance.reach
        self._radius = min(allowance.radius, reach)

    def nothing_left(self, theta: Vector) -> bool:
        """Tell whether next to nothing of the allowance is left at ``theta``."""
        return self._radius < math.inf and self._left(theta) <= EXHAUSTED * self._radius

    def _left(self, theta: Vector) -> float:
        moved = vectors.norm(vectors.subtract(theta, self._start), self._norm)
        return max(self._radius - vectors.to_host([moved])[0], 0.0)

    def longest(self, theta: Vector, step: Vector) -> float:
        """Return a factor that is certain to keep a step from ``theta`` in the region."""
        if self._radius == math.inf:
            return math.inf
        (length,) = vectors.to_host([vectors.norm(step, self._norm)])
        return self._left(theta) / length if length > 0.0 else math.inf
