"""From a gradient to a direction of descent, with momentum."""

from typing import NamedTuple

import torch
from torch import Tensor

from napts.optim.quasi_newton.curvature import InverseHessian


class Direction(NamedTuple):
    """A direction to search along.

    Attributes:
        vector: The direction.
        slope: The inner product of exactly this vector with the gradient.
        plain: Whether it is the negative gradient, since the others are not descent directions.
    """

    vector: Tensor
    slope: float
    plain: bool = False


def descending(
    known: InverseHessian, gradient: Tensor, velocity: Tensor | None, momentum: float
) -> Direction:
    """Return ``v = (1 - mu) v + mu p`` with ``p = -H g``; ``p`` or ``-g`` if that is an ascent.

    Args:
        known: ``H``.
        gradient: ``g``.
        velocity: The latest direction ``v``, or None.
        momentum: ``mu``; 1 is no momentum.
    """
    step = known.direction(gradient)
    mixed = step
    if momentum < 1.0:
        mixed = momentum * step if velocity is None else torch.lerp(velocity, step, momentum)
    for vector in (mixed, step):
        slope = torch.dot(gradient, vector).item()
        if slope < 0.0:
            return Direction(vector, slope)
    return Direction(gradient.neg(), -torch.dot(gradient, gradient).item(), plain=True)


def first_length(gradient: Tensor) -> float:
    """Return the first length to try while nothing is known of the curvature.

    As in :class:`torch.optim.LBFGS`; the authors' code takes 1.
    """
    return min(1.0, 1.0 / max(gradient.abs().sum().item(), 1e-30))
