"""The local model: what a step promises, and the step that promises most inside the region.

Family "local model" of the methods. The first-order model is ``m_k(s) = f(theta_k) + g_k^T s`` on
``||s|| <= radius`` (NAPTS eq. (5)).
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from napts.optim import vectors
from napts.optim.vectors import Norm, Vector

Direction = Literal["scaled_gradient", "sign", "l2"]


@dataclass(frozen=True, slots=True)
class Step:
    """A candidate step ``s``.

    Attributes:
        vector: The step, one flat tensor per block.
        predicted_reduction: ``m(0) - m(s)``, a number once it is known on the host.
    """

    vector: Vector
    predicted_reduction: Tensor | float


class LinearModel:
    """The first-order model around one iterate.

    Args:
        gradient: ``g_k``.
        direction: Unit vector ``d`` of the model's own step ``-radius * d``.
        slope: ``g_k^T d``, the reduction that the step promises per unit of radius.
    """

    def __init__(self, gradient: Vector, direction: Vector, slope: Tensor | float) -> None:
        self.gradient = gradient
        self.slope = slope
        self._direction = direction

    def minimise(self, radius: float) -> Step:
        """Return the model's step of length ``radius``."""
        return Step(vectors.scale(-radius, self._direction), radius * self.slope)

    def reduction(self, step: Vector) -> Tensor:
        """Return the predicted reduction ``-g^T s`` of any step."""
        return -vectors.dot(self.gradient, step)

    def mix(self, weight: float, first: Step, second: Step) -> Step:
        """Return ``weight * first + (1 - weight) * second``, eq. (10), with its prediction."""
        predicted = weight * first.predicted_reduction + (1 - weight) * second.predicted_reduction
        return Step(vectors.mix(weight, first.vector, second.vector), predicted)


@dataclass(frozen=True, slots=True)
class FirstOrder:
    """Makes the first-order model of an iterate; spec of the step in its norm and direction.

    The direction is the gradient scaled to length 1 in the trust-region norm (the step of APTS in
    weights, 2023, Algorithm 1 line 6), its sign likewise scaled, or the gradient scaled to length
    1 in the 2-norm. For ``norm="l2"`` the first and the last agree and minimise the model; for
    ``norm="inf"`` the minimiser is ``"sign"``. All of them are feasible: ``||d|| <= 1``.

    Attributes:
        norm: Norm of the trust region.
        direction: Direction of the model's own step.
    """

    norm: Norm = "l2"
    direction: Direction = "scaled_gradient"

    def at(self, gradient: Vector) -> LinearModel:
        """Return the model around the iterate that has this gradient; waits for no device."""
        raw = [g.sign() for g in gradient] if self.direction == "sign" else gradient
        length = vectors.norm(raw, "l2" if self.direction == "l2" else self.norm)
        # A zero gradient has no direction: its step is zero, which promises nothing.
        tiny = torch.finfo(length.dtype).tiny
        direction = vectors.divide(raw, length.clamp_min(tiny))
        return LinearModel(gradient, direction, vectors.dot(gradient, direction))
