"""The local model: what a step promises, and the step that promises most inside the region.

Family "local model" of the methods. The first-order model is ``m_k(s) = f(theta_k) + g_k^T s`` on
``||s|| <= radius`` (NAPTS eq. (5)).
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from napts.optim import vectors
from napts.optim.communicator import ONE_PROCESS, Communicator, Share, norm_share
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
        raw: Direction ``d`` of the model's own step, of any length.
        norm: Norm of the trust region, or of the scaling.
        communicator: Combines the ranks' shares.

    Its two scalars, ``||d||`` and ``g_k^T d``, are this rank's shares until :meth:`complete`.
    """

    def __init__(
        self, gradient: Vector, raw: Vector, norm: Norm, communicator: Communicator
    ) -> None:
        self.gradient = gradient
        self._communicator = communicator
        self._raw = raw
        self._norm: Norm = norm
        self._length: Tensor | float = communicator.norm(raw, norm)
        self._inner: Tensor | float = communicator.dot(gradient, raw)

    def shares(self) -> list[Share]:
        """Return the shares that :meth:`complete` wants combined; none once it was called."""
        if not isinstance(self._length, Tensor):
            return []
        return [(self._length, norm_share(self._norm)), (self._inner, "sum")]

    def complete(self, length: float, inner: float) -> None:
        """Take over the combined numbers, in the order of :meth:`shares`."""
        self._length, self._inner = length, inner

    def minimise(self, radius: float) -> Step:
        """Return the model's step of length ``radius``, ``-radius * d / ||d||``."""
        factor = radius / self._positive_length()
        return Step(vectors.scale(-factor, self._raw), factor * self._inner)

    def reduction(self, step: Vector) -> Tensor:
        """Return (this rank's share of) the predicted reduction ``-g^T s`` of any step."""
        return -self._communicator.dot(self.gradient, step)

    def mix(self, weight: float, first: Step, second: Step) -> Step:
        """Return ``weight * first + (1 - weight) * second``, eq. (10), with its prediction."""
        predicted = weight * first.predicted_reduction + (1 - weight) * second.predicted_reduction
        return Step(vectors.mix(weight, first.vector, second.vector), predicted)

    def _positive_length(self) -> Tensor | float:
        """Return ``||d||``; a zero gradient has no direction, its step is zero all the same."""
        tiny = torch.finfo(self._raw[0].dtype).tiny
        if not isinstance(self._length, Tensor):
            return self._length if math.isnan(self._length) else max(self._length, tiny)
        return self._length.clamp_min(tiny)


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

    def at(self, gradient: Vector, communicator: Communicator = ONE_PROCESS) -> LinearModel:
        """Return the model around the iterate that has this gradient; waits for no device.

        Args:
            gradient: ``g_k``, this rank's blocks of it.
            communicator: Combines the ranks' shares.
        """
        raw = [g.sign() for g in gradient] if self.direction == "sign" else gradient
        norm = "l2" if self.direction == "l2" else self.norm
        return LinearModel(gradient, raw, norm, communicator)
