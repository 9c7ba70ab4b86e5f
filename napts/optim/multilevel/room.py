"""What is left of an allowance, for solvers that know no radius of their own."""

import math

from napts.optim import vectors
from napts.optim.local_solver import Allowance, ValuedProblem
from napts.optim.vectors import Norm, Vector


class Room:
    """How far further steps from a start may lead.

    Args:
        problem: What is minimised; lengths are measured from its start.
        allowance: How far all steps may lead; without a share of a radius that others share.
    """

    def __init__(self, problem: ValuedProblem, allowance: Allowance) -> None:
        self._norm: Norm = problem.norm
        self._start = problem.start
        reach = math.inf if allowance.reach is None else allowance.reach
        self._radius = min(allowance.radius, reach)

    def longest(self, theta: Vector, step: Vector) -> float:
        """Return a factor of a step from ``theta`` that keeps it in the region for certain."""
        if self._radius == math.inf:
            return math.inf
        moved = vectors.norm(vectors.subtract(theta, self._start), self._norm)
        gone, length = vectors.to_host([moved, vectors.norm(step, self._norm)])
        return max(self._radius - gone, 0.0) / length if length > 0.0 else math.inf
