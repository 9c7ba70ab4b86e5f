"""The trust-region subproblem of a limited-memory model, solved exactly in the 2-norm (OBS).

``min g^T p + p^T B p / 2`` over ``||p||_2 <= radius``, where only a few eigenvalues of ``B`` differ
from one value ``base``. In the basis of ``B``'s eigenvectors the problem has one variable per such
eigenvalue and one more, along the rest of the gradient. All that this module does is arithmetic on
these few numbers.

Brust, Erway, Marcia, *On solving L-SR1 trust-region subproblems* (2017), Algorithm 1; Moré and
Sorensen (1983) for the optimality conditions and the hard case.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

_MOST_ITERATIONS = 100
_ACCURACY = 1e-12


@dataclass(frozen=True, slots=True)
class Solution:
    """A global minimiser, in the basis of the eigenvectors.

    Attributes:
        along: Its coefficients along the known eigenvectors.
        rest: Its coefficient along the rest of the gradient, scaled to length 1.
        beyond: Its coefficient along any unit vector orthogonal to all of these; not 0 only in
            the hard case, where that vector belongs to the smallest eigenvalue.
        shift: The multiplier ``sigma >= 0`` of the constraint: ``(B + sigma I) p = -g``.
        predicted_reduction: ``-(g^T p + p^T B p / 2)``.
        length: ``||p||_2``.
    """

    along: list[float]
    rest: float
    beyond: float
    shift: float
    predicted_reduction: float
    length: float


def solve(
    values: Sequence[float],
    base: float,
    components: Sequence[float],
    rest: float,
    radius: float,
    *,
    has_beyond: bool,
) -> Solution:
    """Minimise the model in the region.

    Args:
        values: Eigenvalues of ``B`` whose eigenvectors are known.
        base: The eigenvalue of everything orthogonal to them.
        components: The gradient's components along the known eigenvectors.
        rest: Length of the rest of the gradient; 0 if there is none.
        radius: Radius of the region, positive.
        has_beyond: There are directions orthogonal to the known eigenvectors and to the gradient.

    Returns:
        A global minimiser. If a number is NaN or infinite, a zero step that promises NaN.
    """
    slopes, curvatures = [*components, rest], [*values, base]
    if not all(map(math.isfinite, [*slopes, *curvatures])):
        return Solution([0.0] * len(values), 0.0, 0.0, 0.0, math.nan, 0.0)
    # An eigenvalue without eigenvector (no direction is left over) is none.
    present = [True] * len(values) + [has_beyond or rest > 0.0]
    lowest = min(c for c, there in zip(curvatures, present, strict=True) if there)
    # Measured from the pole, so that a shift close to it keeps its digits.
    gaps = [c - lowest for c in curvatures]
    least = max(0.0, lowest)
    steps = _inner_step(slopes, gaps, least)
    beyond = 0.0
    if steps is None or _length(steps) > radius:
        excess = _on_boundary(slopes, gaps, least, radius)
        steps = [-s / (gap + excess) if s else 0.0 for s, gap in zip(slopes, gaps, strict=True)]
    else:
        excess = least
        if lowest < 0.0:  # the hard case: to the boundary along an eigenvector of the lowest
            missing = math.sqrt(max(0.0, radius**2 - _length(steps) ** 2))
            if 0.0 in gaps[:-1]:
                steps[gaps.index(0.0)] = missing
            else:
                beyond = missing
    return _solution(slopes, curvatures, lowest, steps, beyond, excess)


def _inner_step(
    slopes: Sequence[float], gaps: Sequence[float], excess: float
) -> list[float] | None:
    """Return the step for the smallest allowed shift; ``None`` at a pole."""
    steps = []
    for slope, gap in zip(slopes, gaps, strict=True):
        if slope and gap + excess == 0.0:
            return None
        step = -slope / (gap + excess) if slope else 0.0
        if not math.isfinite(step):
            return None
        steps.append(step)
    return steps


def _on_boundary(
    slopes: Sequence[float], gaps: Sequence[float], least: float, radius: float
) -> float:
    """Solve ``||p|| = radius`` for how far the shift is above the pole.

    Newton's method on ``1 / ||p|| - 1 / radius``, which is concave and increasing: from the left
    of the root it converges without a safeguard.
    """
    terms = [(abs(s), gap) for s, gap in zip(slopes, gaps, strict=True) if s]
    excess = max(least, *(slope / radius - gap for slope, gap in terms))
    for _ in range(_MOST_ITERATIONS):
        quotients = [slope / (gap + excess) for slope, gap in terms]
        length = _length(quotients)
        if length - radius <= _ACCURACY * radius:
            break
        falling = sum(
            (q / length) ** 2 / (gap + excess) for q, (_, gap) in zip(quotients, terms, strict=True)
        )
        further = excess + (length - radius) / radius / falling
        if further <= excess:
            break
        excess = further
    return excess


def _solution(
    slopes: Sequence[float],
    curvatures: Sequence[float],
    lowest: float,
    steps: list[float],
    beyond: float,
    excess: float,
) -> Solution:
    promised = -sum(
        s * p + 0.5 * c * p * p for s, c, p in zip(slopes, curvatures, steps, strict=True)
    )
    return Solution(
        along=steps[:-1],
        rest=steps[-1],
        beyond=beyond,
        shift=max(0.0, excess - lowest),
        predicted_reduction=promised - 0.5 * lowest * beyond**2,
        length=math.hypot(_length(steps), beyond),
    )


def _length(numbers: Sequence[float]) -> float:
    return math.hypot(*numbers)
