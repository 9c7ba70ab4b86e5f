"""What is minimised on a level: a function, made consistent with the finer one to first order."""

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from napts.optim import vectors
from napts.optim.local_model import LocalModels
from napts.optim.local_solver import ValuedProblem
from napts.optim.sums.finite_sum import HessianProduct
from napts.optim.vectors import Norm, Vector


class Function(Protocol):
    """A function of a vector; a :class:`napts.optim.sums.FiniteSum` is one."""

    def value(self, theta: Vector) -> float:
        """Return the value; NaN or infinite if there is none."""
        ...

    def value_and_gradient(self, theta: Vector) -> tuple[float, Vector]:
        """Return the value and the gradient."""
        ...

    def hessian(self, theta: Vector) -> HessianProduct:
        """Return what multiplies the Hessian at ``theta``; it remains usable after others."""
        ...


class Corrected:
    """``h(theta) = L(theta) + <dg, theta - origin>``, whose gradient at the origin is given.

    ``dg = gradient - grad L(origin)`` is the first-order correction, "additive" in the slides. It
    is evaluated only when needed; a single step from the origin with a fixed length does not need
    it.

    Args:
        function: ``L`` of this level.
        origin: Where the gradient is given.
        gradient: The gradient there, of the finer level's function, restricted.
    """

    def __init__(self, function: Function, origin: Vector, gradient: Vector) -> None:
        self._function, self._origin, self._gradient = function, origin, gradient
        self._known: tuple[float, Vector] | None = None

    def _correction(self) -> tuple[float, Vector]:
        """Return ``L(origin)`` and ``dg``."""
        if self._known is None:
            loss, own = self._function.value_and_gradient(self._origin)
            self._known = loss, vectors.subtract(self._gradient, own)
        return self._known

    def value(self, theta: Vector) -> float:
        """Return ``h(theta)``."""
        loss, shift = self._correction()
        if theta is self._origin:
            return loss
        return self._function.value(theta) + self._along(shift, theta)

    def value_and_gradient(self, theta: Vector) -> tuple[float, Vector]:
        """Return ``h(theta)`` and its gradient."""
        loss, shift = self._correction()
        if theta is self._origin:
            return loss, self._gradient
        loss, own = self._function.value_and_gradient(theta)
        return loss + self._along(shift, theta), vectors.add(own, shift)

    def hessian(self, theta: Vector) -> HessianProduct:
        """Return what multiplies the Hessian, which is that of ``L``."""
        return self._function.hessian(theta)

    def _along(self, shift: Vector, theta: Vector) -> float:
        moved = vectors.subtract(theta, self._origin)
        return vectors.to_host([vectors.dot(shift, moved)])[0]


class LevelProblem(ValuedProblem):
    """A level's function at its current variables; local solvers take steps on it.

    Args:
        function: What to minimise.
        start: The variables at the start.
        slope: The gradient there.
        loss: The value there; if it is not given, it is evaluated when needed.
        models: Makes the local models of a trust region.
        norm: Norm of the trust region.

    Attributes:
        function: As given.
    """

    def __init__(
        self,
        function: Function,
        start: Vector,
        slope: Vector,
        loss: float | None = None,
        *,
        models: "Models | None" = None,
        norm: Norm = "l2",
    ) -> None:
        self.function = function
        self.slope = slope
        self.norm = norm
        self._start, self._loss, self._models = start, loss, models
        self._here = start
        self._scratch: Vector = []

    @property
    def start(self) -> Vector:
        """The variables at the start."""
        return self._start

    @property
    def variables(self) -> Vector:
        """The current variables."""
        return self._here

    @property
    def loss(self) -> float:
        """The value at the start."""
        if self._loss is None:
            self._loss = self.function.value(self._start)
        return self._loss

    @property
    def known_loss(self) -> float | None:
        """The value at the start, if it has been evaluated."""
        return self._loss

    def models(self) -> LocalModels:
        """Return what makes local models."""
        if self._models is None:
            raise ValueError("this level has no local models, which a trust region needs")
        return self._models(self.function)

    def observe(self) -> None:
        """Let local models that remember note the current point; costs nothing."""
        if self._models is not None:
            self._models(self.function).observe(self._start, self.slope)

    def scratch(self) -> Vector:
        """Return a vector to be filled for :meth:`move`."""
        if not self._scratch:
            self._scratch = [flat.clone() for flat in self._start]
        return self._scratch

    def move(self, factor: float | Tensor) -> None:
        """Add the scratch vector, times a factor, to the variables."""
        self._here = vectors.add_scaled(self._here, factor, self._scratch)

    def value(
        self, trial: Vector, predicted: Tensor | float, *, keep_graph: bool
    ) -> tuple[float, float]:
        """Return the value at other variables, and a number that came along; go there."""
        self._here = trial
        return self.function.value(trial), vectors.to_host([predicted])[0]

    def gradient(self) -> Vector:
        """Return the gradient at the current variables."""
        return self.function.value_and_gradient(self._here)[1]


Models = Callable[[Function], LocalModels]
"""Makes the local models of a level, new or kept ones."""
