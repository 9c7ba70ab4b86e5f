"""The second-order local model: limited-memory SR1 curvature, minimised exactly in the 2-norm."""

from dataclasses import dataclass, field
from typing import Any

import torch

from napts.optim import subproblem, vectors
from napts.optim.communicator import ONE_PROCESS, Communicator
from napts.optim.local_model import CurvedModel, Step
from napts.optim.sr1 import Curvature, LimitedMemorySR1
from napts.optim.vectors import Norm, Vector


class QuadraticModel(CurvedModel):
    """``m_k(s) = f(theta_k) + g_k^T s + s^T B_k s / 2``.

    Args:
        gradient: ``g_k``.
        curvature: ``B_k``.
        norm: Norm of the trust region. The model's own step is no longer than the radius in the
            2-norm, hence in the infinity norm too, as in APTS in weights (2023).
    """

    def __init__(self, gradient: Vector, curvature: Curvature, norm: Norm) -> None:
        self.gradient = gradient
        self._curvature = curvature
        self._norm = norm
        self._components = curvature.components(gradient)
        against = [-component for component in self._components]
        self._rest = curvature.combine([part.clone() for part in gradient], against)
        length, whole = vectors.to_host(
            [vectors.norm(self._rest, "l2"), vectors.norm(gradient, "l2")]
        )
        # Below that it is rounding, and has no direction.
        negligible = 10 * torch.finfo(gradient[0].dtype).eps * whole
        self._rest_length = 0.0 if length <= negligible else length

    def minimise(self, radius: float) -> Step:
        """Return the global minimiser in the ball of that radius."""
        curvature, known = self._curvature, len(self._curvature.values)
        size = sum(part.numel() for part in self.gradient)
        solution = subproblem.solve(
            curvature.values,
            curvature.base,
            self._components,
            self._rest_length,
            radius,
            has_beyond=size > known + (self._rest_length > 0),
        )
        across = solution.rest / self._rest_length if self._rest_length else 0.0
        step = curvature.combine([across * part for part in self._rest], solution.along)
        if solution.beyond:
            step = vectors.add_scaled(step, solution.beyond, self._beyond())
        length = solution.length if self._norm == "l2" else None
        return Step(step, solution.predicted_reduction, length)

    def reduction(self, step: Vector) -> float:
        """Return the predicted reduction ``-(g^T s + s^T B s / 2)`` of any step."""
        curvature = self._curvature
        slope, square = vectors.to_host([vectors.dot(self.gradient, step), vectors.dot(step, step)])
        along = curvature.components(step)
        curved = sum(
            (value - curvature.base) * a * a
            for value, a in zip(curvature.values, along, strict=True)
        )
        return -slope - 0.5 * (curvature.base * square + curved)

    def _beyond(self) -> Vector:
        """Return a unit vector orthogonal to the known eigenvectors; the gradient has no rest."""
        curvature = self._curvature
        # Of any r + 1 coordinates one is at least 1 / (r + 1) away from r directions, squared.
        candidates = []
        for index in range(len(curvature.values) + 1):
            axis = _coordinate(self.gradient, index)
            against = [-component for component in curvature.components(axis)]
            residual = curvature.combine(axis, against)
            candidates.append((vectors.to_host([vectors.norm(residual, "l2")])[0], residual))
        length, residual = max(candidates, key=lambda candidate: candidate[0])
        return vectors.scale(1 / length, residual)


def _coordinate(like: Vector, index: int) -> Vector:
    axis = [torch.zeros_like(part) for part in like]
    for part in axis:
        if index < part.numel():
            part[index] = 1.0
            break
        index -= part.numel()
    return axis


@dataclass(frozen=True, slots=True)
class SecondOrder:
    """Makes the second-order model of an iterate from the curvature seen so far.

    A pair is the change of the iterate and of the gradient from one linearisation to the next. On
    mini-batches the two gradients may come from different batches (ours; the papers let batches
    overlap).

    Attributes:
        norm: Norm of the trust region.
        memory: The pairs.
    """

    norm: Norm = "l2"
    memory: LimitedMemorySR1 = field(default_factory=LimitedMemorySR1)

    def observe(self, theta: Vector, gradient: Vector) -> None:
        """Take over the next iterate with its gradient."""
        self.memory.observe(theta, gradient)

    def at(self, gradient: Vector, communicator: Communicator = ONE_PROCESS) -> QuadraticModel:
        """Return the model around the iterate that has this gradient.

        Args:
            gradient: ``g_k``.
            communicator: Of the ranks that hold the vectors.

        Raises:
            ValueError: If they are spread over several ranks.
        """
        if communicator.spread:
            raise ValueError(
                "order=2 needs all parameters in one process; on several ranks, use order=1"
            )
        return QuadraticModel(gradient, self.memory.curvature, self.norm)

    def restricted(self, block: int | None) -> "SecondOrder":
        """Return models for one block, with that part of the pairs, or for all blocks."""
        return SecondOrder(self.norm, self.memory.restricted(block))

    def forget(self) -> None:
        """Forget all pairs: they do not fit the parameters trained now."""
        self.memory.clear()

    def mark(self) -> Any:
        """Return what :meth:`rollback` needs; copies no vector."""
        return self.memory.mark()

    def rollback(self, mark: Any) -> None:
        """Go back to where :meth:`mark` was called."""
        self.memory.rollback(mark)

    def state_dict(self) -> dict[str, Any]:
        """Return what later models depend on."""
        return self.memory.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a saved state."""
        self.memory.load_state_dict(state)
