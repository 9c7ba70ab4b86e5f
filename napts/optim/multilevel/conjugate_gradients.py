"""Conjugate gradients for a Newton step, truncated at the edge of a trust region."""

import math
from dataclasses import dataclass
from typing import Literal

import torch

from napts.optim import vectors
from napts.optim.sums.finite_sum import HessianProduct
from napts.optim.vectors import Vector

End = Literal["converged", "iterations", "boundary", "curvature"]


@dataclass(frozen=True, slots=True)
class Truncated:
    """A step from truncated conjugate gradients.

    Attributes:
        step: ``s``.
        predicted: ``-(<g, s> + <s, H s> / 2)``.
        length: ``||s||`` in the 2-norm.
        iterations: Hessian-vector products spent.
        end: Why it ended: the residual is small, the iterations are used up, the step has reached
            the boundary, or the curvature along a direction is not positive.
    """

    step: Vector
    predicted: float
    length: float
    iterations: int
    end: End


@dataclass(frozen=True, slots=True)
class ConjugateGradients:
    """Steihaug's and Toint's truncated conjugate gradients; without a radius, Newton-CG.

    They end once ``||g + H s|| <= tolerance ||g||``. With a radius, a direction whose curvature is
    not positive is followed to the boundary. Without one, the step so far is returned, or the
    gradient step if there is none yet.

    Reference: Steihaug, *SIAM J. Numer. Anal.* 20 (1983); Conn, Gould, Toint, *Trust-Region
    Methods* (2000), Algorithm 7.5.1; Nocedal and Wright, Algorithm 7.1.

    Attributes:
        iterations: Largest number of iterations.
        tolerance: Residual at which they end, relative to the gradient.
    """

    iterations: int = 10
    tolerance: float = 1e-9

    def solve(
        self, multiply: HessianProduct, gradient: Vector, radius: float = math.inf
    ) -> Truncated:
        """Minimise ``<g, s> + <s, H s> / 2`` approximately.

        Args:
            multiply: Multiplies with ``H``; called once an iteration.
            gradient: ``g``.
            radius: Largest length of the step.
        """
        step, rest = vectors.scale(0.0, gradient), vectors.scale(-1.0, gradient)
        direction = rest
        (square,) = _dots((rest, rest))
        enough = self.tolerance**2 * square
        # <s, s> and <s, p>
        within, along = 0.0, 0.0
        # Below its rounding, curvature is none: the Hessian of few samples may well be singular.
        largest, rounding = 0.0, torch.finfo(gradient[0].dtype).eps
        turn, end = 0, "converged"
        while square > enough:
            if turn == self.iterations:
                end = "iterations"
                break
            turn += 1
            product = multiply(direction)
            curvature, across = _dots((direction, product), (direction, direction))
            largest = max(largest, curvature / across)
            curved = curvature > rounding * largest * across
            factor = square / curvature if curved else math.inf
            ahead = within + factor * (2.0 * along + factor * across)
            if not curved or ahead >= radius * radius:
                end = "boundary" if curved else "curvature"
                factor = self._last(radius, within, along, across, first=turn == 1)
            step = vectors.add_scaled(step, factor, direction)
            rest = vectors.add_scaled(rest, -factor, product)
            if end != "converged":
                break
            before = square
            (square,) = _dots((rest, rest))
            direction = vectors.add_scaled(rest, square / before, direction)
            if radius < math.inf:
                within, along = _dots((step, step), (step, direction))
        slope, remainder, length = _dots((gradient, step), (rest, step), (step, step))
        return Truncated(step, 0.5 * (remainder - slope), math.sqrt(length), turn, end)

    @staticmethod
    def _last(radius: float, within: float, along: float, across: float, *, first: bool) -> float:
        """Return the factor of the last direction: to the boundary, or 0 if there is none."""
        if radius == math.inf:
            return 1.0 if first else 0.0
        left = max(radius * radius - within, 0.0)
        root = math.sqrt(along * along + across * left)
        # Of two forms of the root the one without cancellation.
        return left / (along + root) if along > 0.0 else (root - along) / across


def _dots(*pairs: tuple[Vector, Vector]) -> list[float]:
    return vectors.to_host([vectors.dot(a, b) for a, b in pairs])
