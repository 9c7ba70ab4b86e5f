"""Strong Wolfe line search by bracketing and zooming, with cubic interpolation."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

Evaluate = Callable[[float], tuple[float, Tensor]]
"""Returns value and gradient at a length along the direction."""


class Reached(NamedTuple):
    """A point on the line.

    Attributes:
        length: Multiple of the direction.
        loss: The value there.
        gradient: The gradient there.
        slope: Its inner product with the direction.
    """

    length: float
    loss: float
    gradient: Tensor
    slope: float


@dataclass(frozen=True, slots=True)
class StrongWolfe:
    """``f(a) <= f(0) + c1 a f'(0)`` and ``|f'(a)| <= c2 |f'(0)|``.

    Tries the same points as the search in :class:`torch.optim.LBFGS` (minFunc's), but halves the
    bracket where a value is not finite (ours).

    Attributes:
        decrease: ``c1``.
        curvature: ``c2``.
        evaluations: Largest number of evaluations after the first one.
        tolerance: The search ends when the bracket times the largest entry of the direction is
            below this.
    """

    decrease: float = 1e-4
    curvature: float = 0.9
    evaluations: int = 25
    tolerance: float = 1e-9

    def search(
        self, evaluate: Evaluate, start: Reached, direction: Tensor, length: float = 1.0
    ) -> Reached:
        """Search along a direction.

        Args:
            evaluate: Value and gradient at a length; a value that is not finite counts as infinity.
            start: Length 0; its slope must be that along this direction.
            direction: The direction.
            length: The first length.

        Returns:
            A point where the conditions hold, or else the lowest point of the bracket, which may be
            the start itself.
        """

        def at(a: float) -> Reached:
            loss, gradient = evaluate(a)
            slope = torch.dot(gradient, direction).item()
            finite = math.isfinite(loss) and math.isfinite(slope)
            return Reached(a, loss if finite else math.inf, gradient, slope)

        before, here, count = start, at(length), 0
        while count < self.evaluations:
            if self._too_high(here, start) or (count > 1 and here.loss >= before.loss):
                return self._zoom(at, start, [before, here], direction, count)
            if self._flat(here, start):
                return here
            if here.slope >= 0:
                return self._zoom(at, start, [before, here], direction, count)
            low, high = here.length + 0.01 * (here.length - before.length), here.length * 10
            following = _minimum_of_cubic(before, here, low, high)
            before, here = here, at(following)
            count += 1
        return here if here.loss < start.loss else start

    def _zoom(
        self,
        at: Callable[[float], Reached],
        start: Reached,
        bracket: list[Reached],
        direction: Tensor,
        count: int,
    ) -> Reached:
        """Narrow a bracket around points where the conditions hold."""
        longest, stuck = direction.abs().max().item(), False
        low, high = (0, 1) if bracket[0].loss <= bracket[1].loss else (1, 0)
        while count < self.evaluations:
            left, right = sorted(place.length for place in bracket)
            if (right - left) * longest < self.tolerance:
                break
            length = _minimum_of_cubic(bracket[0], bracket[1], left, right)
            margin = 0.1 * (right - left)
            if min(right - length, length - left) < margin:
                if stuck or length >= right or length <= left:
                    near_right = abs(length - right) < abs(length - left)
                    length, stuck = right - margin if near_right else left + margin, False
                else:
                    stuck = True
            else:
                stuck = False
            here = at(length)
            count += 1
            if self._too_high(here, start) or here.loss >= bracket[low].loss:
                bracket[high] = here
                low, high = (0, 1) if bracket[0].loss <= bracket[1].loss else (1, 0)
                continue
            if self._flat(here, start):
                return here
            if here.slope * (bracket[high].length - bracket[low].length) >= 0:
                bracket[high] = bracket[low]
            bracket[low] = here
        return bracket[low]

    def _too_high(self, here: Reached, start: Reached) -> bool:
        return here.loss > start.loss + self.decrease * here.length * start.slope

    def _flat(self, here: Reached, start: Reached) -> bool:
        return abs(here.slope) <= -self.curvature * start.slope


def _minimum_of_cubic(first: Reached, second: Reached, low: float, high: float) -> float:
    """Return the minimiser of the cubic through two points, within bounds."""
    (x1, f1, _, g1), (x2, f2, _, g2) = first, second
    if not (math.isfinite(f1) and math.isfinite(f2)):
        return (low + high) / 2
    d1 = g1 + g2 - 3 * (f1 - f2) / (x1 - x2)
    square = d1**2 - g1 * g2
    if square < 0:
        return (low + high) / 2
    d2 = math.sqrt(square)
    (left, g_left), (right, g_right) = ((x1, g1), (x2, g2))[:: 1 if x1 <= x2 else -1]
    above, below = g_right + d2 - d1, g_right - g_left + 2 * d2
    if below == 0:  # no minimum, as on a straight line
        return (low + high) / 2 if above == 0 else (high if above < 0 else low)
    return min(max(right - (right - left) * (above / below), low), high)
