"""The local model: what a step promises, and the step that promises most inside the region.

Family "local model" of the methods. The first-order model is ``m_k(s) = f(theta_k) + g_k^T s`` on
``||s|| <= radius`` (NAPTS eq. (5)).
"""

import math
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from napts.optim import vectors
from napts.optim.communicator import ONE_PROCESS, Communicator, Share, norm_share
from napts.optim.vectors import Norm, Vector

Direction = Literal["scaled_gradient", "sign", "l2"]

_TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True, slots=True)
class Step:
    """A candidate step ``s = factor * direction``; the product is formed only where it is needed.

    Attributes:
        direction: One flat tensor per block.
        predicted_reduction: ``m(0) - m(s)``, a number once it is known on the host.
        length: Its length in the trust-region norm, or ``None`` if that must be computed.
        factor: Multiplies the direction.
    """

    direction: Vector
    predicted_reduction: Tensor | float
    length: Tensor | float | None = None
    factor: Tensor | float = 1.0

    @property
    def vector(self) -> Vector:
        """The step ``s``, one flat tensor per block."""
        return vectors.scale(self.factor, self.direction)

    @property
    def known_reduction(self) -> float | None:
        """The predicted reduction, if it is on the host; ``None`` while it is not."""
        known = self.predicted_reduction
        return None if isinstance(known, Tensor) else known

    @property
    def known_length(self) -> float:
        """The length, if it is on the host; NaN while it is not."""
        return self.length if isinstance(self.length, float) else math.nan

    def shortened(self, share: float, predicted_reduction: Tensor | float) -> "Step":
        """Return ``share * s`` with the given prediction."""
        length = None if self.length is None else share * self.length
        return Step(self.direction, predicted_reduction, length, share * self.factor)


class LocalModel(Protocol):
    """The model ``m_k`` around one iterate.

    Attributes:
        gradient: ``g_k``.
    """

    gradient: Vector

    def shares(self) -> list[Share]:
        """Return the shares that :meth:`complete` wants; none if the numbers are known."""
        ...

    def complete(self, *numbers: float) -> None:
        """Take over the combined numbers, in the order of :meth:`shares`."""
        ...

    def minimise(self, radius: float) -> Step:
        """Return the model's own step in a region of that radius."""
        ...

    def reduction(self, step: Vector) -> Tensor | float:
        """Return (this rank's share of) the predicted reduction ``m(0) - m(s)`` of any step."""
        ...

    def shorten(self, step: Step, share: float) -> Step:
        """Return ``share * s`` with its prediction."""
        ...

    def mix(self, weight: float, first: Step, second: Step) -> Step:
        """Return ``weight * first + (1 - weight) * second``, eq. (10), with its prediction."""
        ...


class LocalModels(Protocol):
    """Makes the local model of each iterate."""

    @property
    def norm(self) -> Norm:
        """Norm of the trust region."""
        ...

    def observe(self, theta: Vector, gradient: Vector) -> None:
        """Note the next iterate and its gradient, before :meth:`at` is called."""
        ...

    def at(self, gradient: Vector, communicator: Communicator = ONE_PROCESS) -> LocalModel:
        """Return the model around the iterate that has this gradient."""
        ...

    def restricted(self, block: int | None) -> "LocalModels":
        """Return models for one block alone, or for all; they start with what is known of it."""
        ...

    def forget(self) -> None:
        """Forget all iterates: the set of trained parameters has changed."""
        ...

    def mark(self) -> Any:
        """Return what :meth:`rollback` needs; copies no vector."""
        ...

    def rollback(self, mark: Any) -> None:
        """Go back to where :meth:`mark` was called."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return what later models depend on."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a saved state."""
        ...


class Memoryless:
    """The remembering part of :class:`LocalModels`, for models that remember nothing."""

    __slots__ = ()

    def forget(self) -> None:
        """Do nothing."""

    def mark(self) -> None:
        """Return nothing."""

    def rollback(self, mark: Any) -> None:
        """Do nothing."""

    def state_dict(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Do nothing."""


class CurvedModel(LocalModel):
    """What all models with curvature share.

    Their numbers are known at once, and the predicted reduction of a multiple or a mixture of steps
    must be computed anew.
    """

    def shares(self) -> list[Share]:
        """Return nothing: the numbers are known."""
        return []

    def complete(self, *numbers: float) -> None:
        """Do nothing."""

    def shorten(self, step: Step, share: float) -> Step:
        """Return ``share * s`` with its prediction."""
        shorter = step.shortened(share, 0.0)
        return step.shortened(share, self.reduction(shorter.vector))

    def mix(self, weight: float, first: Step, second: Step) -> Step:
        """Return ``weight * first + (1 - weight) * second``, eq. (10), with its prediction."""
        part = vectors.scale(weight * first.factor, first.direction)
        mixture = vectors.add_scaled(part, (1 - weight) * second.factor, second.direction)
        return Step(mixture, self.reduction(mixture))


class LinearModel:
    """The first-order model around one iterate.

    Args:
        gradient: ``g_k``.
        raw: Direction ``d`` of the model's own step, of any length; may be the gradient itself.
        norm: Norm in which the step is scaled to the radius.
        communicator: Combines the ranks' shares.
        measured: Whether that norm is the trust region's.

            Until :meth:`complete`, its two scalars ``||d||`` and ``g_k^T d`` may be this rank's
            shares, or still on a device.
    """

    def __init__(
        self,
        gradient: Vector,
        raw: Vector,
        norm: Norm,
        communicator: Communicator,
        *,
        measured: bool,
    ) -> None:
        self.gradient = gradient
        self._communicator = communicator
        self._raw = raw
        self._norm: Norm = norm
        self._measured = measured
        self._length: Tensor | float = communicator.norm(raw, norm)
        if raw is gradient and norm == "l2" and not communicator.spread:
            self._inner: Tensor | float = self._length * self._length
        else:
            self._inner = communicator.dot(gradient, raw)

    def shares(self) -> list[Share]:
        """Return the shares that :meth:`complete` wants; none if the numbers are known."""
        if not isinstance(self._length, Tensor):
            return []
        return [(self._length, norm_share(self._norm)), (self._inner, "sum")]

    def complete(self, *numbers: float) -> None:
        """Take over the combined numbers, in the order of :meth:`shares`."""
        self._length, self._inner = numbers

    def minimise(self, radius: float) -> Step:
        """Return the model's step of length ``radius``, ``-radius * d / ||d||``."""
        factor = radius / self._positive_length()
        length = factor * self._length if self._measured else None
        return Step(self._raw, factor * self._inner, length, -factor)

    def reduction(self, step: Vector) -> Tensor | float:
        """Return (this rank's share of) the predicted reduction ``-g^T s`` of any step."""
        return -self._communicator.dot(self.gradient, step)

    def shorten(self, step: Step, share: float) -> Step:
        """Return ``share * s``, which promises ``share`` times as much."""
        return step.shortened(share, share * step.predicted_reduction)

    def mix(self, weight: float, first: Step, second: Step) -> Step:
        """Return ``weight * first + (1 - weight) * second``, eq. (10), with its prediction."""
        predicted = weight * first.predicted_reduction + (1 - weight) * second.predicted_reduction
        part = vectors.scale(weight * first.factor, first.direction)
        mixture = vectors.add_scaled(part, (1 - weight) * second.factor, second.direction)
        return Step(mixture, predicted)

    def _positive_length(self) -> Tensor | float:
        """Return ``||d||``; a zero gradient has no direction, but its step is still zero."""
        if isinstance(self._length, Tensor):
            return self._length.clamp_min(_TINY)
        return _TINY if self._length < _TINY else self._length


@dataclass(frozen=True, slots=True)
class FirstOrder(Memoryless):
    """Makes the first-order model of an iterate; defines the norm and direction of its step.

    The direction is the gradient scaled to length 1 in the trust-region norm (the step of APTS in
    weights, 2023, Algorithm 1 line 6), its sign scaled likewise, or the gradient scaled to length
    1 in the 2-norm. For ``norm="l2"`` the first and the last agree and minimise the model; for
    ``norm="inf"`` the minimiser is ``"sign"``. All of them are feasible: ``||d|| <= 1``.

    Attributes:
        norm: Norm of the trust region.
        direction: Direction of the model's own step.
    """

    norm: Norm = "l2"
    direction: Direction = "scaled_gradient"

    def observe(self, theta: Vector, gradient: Vector) -> None:
        """Do nothing: a first-order model depends on no other iterate."""

    def restricted(self, block: int | None) -> "FirstOrder":
        """Return the same models: nothing is known about any block."""
        return self

    def at(self, gradient: Vector, communicator: Communicator = ONE_PROCESS) -> LinearModel:
        """Return the model around the iterate that has this gradient; waits for no device.

        Args:
            gradient: ``g_k``, this rank's blocks of it.
            communicator: Combines the ranks' shares.
        """
        raw = [g.sign() for g in gradient] if self.direction == "sign" else gradient
        norm = "l2" if self.direction == "l2" else self.norm
        return LinearModel(gradient, raw, norm, communicator, measured=norm == self.norm)
