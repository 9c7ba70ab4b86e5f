"""The batch loss as a function of the parameters, and the count of what its evaluations cost."""

import math
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor

from napts.optim import vectors
from napts.optim.local_model import FirstOrder, LinearModel, Step
from napts.optim.record import PassCounts
from napts.optim.replay import Replay, cuda_devices
from napts.optim.subdomains import Closure, Decomposition
from napts.optim.vectors import Layout, Vector

_BACKWARD_CALLED = (
    "the closure must not call backward(): write `optimizer.step(lambda: criterion(model(inputs), "
    "targets))`, the optimizer differentiates the loss itself and only where it has to"
)


class NonFiniteLossError(ArithmeticError):
    """The loss where the iteration starts is NaN or infinite: no step can be judged."""


@dataclass(slots=True)
class Point:
    """An iterate with its loss and its local model.

    Attributes:
        theta: The parameters.
        loss: ``f_B(theta)``; a tensor until the first acceptance test brings it to the host.
        model: The local model around it.
    """

    theta: Vector
    loss: Tensor | float
    model: LinearModel


@dataclass(frozen=True, slots=True)
class Measured:
    """What one evaluation of a candidate step brings to the host, in one transfer.

    Attributes:
        loss: ``f_B(theta)``.
        trial_loss: ``f_B(theta + s)``.
        predicted: ``m(0) - m(s)``.
        step_norm: ``||s||`` in the trust-region norm.
    """

    loss: float
    trial_loss: float
    predicted: float
    step_norm: float


class Objective:
    """``f_B`` for one iteration: every evaluation sees the same data, masks and buffers.

    Args:
        closure: Computes the loss of the batch, without ``backward()``.
        layout: Where the parameters lie.
        local_model: Makes the local model from a gradient.
        counts: Where the passes are counted.
    """

    def __init__(
        self, closure: Closure, layout: Layout, local_model: FirstOrder, counts: PassCounts
    ) -> None:
        self.closure = closure
        self.layout = layout
        self.counts = counts
        self._local_model = local_model
        self._replay = Replay(cuda_devices(layout.parameters))
        self._graph: Tensor | None = None

    def linearise(self, decomposition: Decomposition | None) -> Point:
        """Evaluate loss and gradient where the parameters are; fill the subdomains' caches.

        Args:
            decomposition: Subdomains whose boundary data are captured on the way.

        Returns:
            The present iterate; its loss is still on the device.

        Raises:
            ValueError: If the closure has called ``backward()`` or does not return a scalar loss.
        """
        untouched = [_gradient_version(p) for p in self.layout.parameters]
        with self._replay.first():
            if decomposition is None:
                loss = self._forward()
            else:
                with decomposition.capture():
                    loss = self._forward()
        if untouched != [_gradient_version(p) for p in self.layout.parameters] and any(
            p.grad is not None for p in self.layout.parameters
        ):
            raise ValueError(_BACKWARD_CALLED)
        boundaries = decomposition.boundaries() if decomposition is not None else []
        gradients = self._differentiate(loss, boundaries)
        if decomposition is not None:
            decomposition.set_downstream(gradients[len(self.layout.parameters) :])
        gradient = self.layout.flatten(gradients[: len(self.layout.parameters)])
        return Point(self.layout.read(), loss.detach(), self._local_model.at(gradient))

    def evaluate(self, point: Point, step: Step, trial: Vector, *, keep_graph: bool) -> Measured:
        """Evaluate a candidate: one forward pass and one transfer of scalars.

        Args:
            point: Where the step starts; its pending numbers come to the host on this occasion.
            step: The candidate.
            trial: ``theta + s``; the parameters are left there.
            keep_graph: Keep the graph, so that :meth:`linearise_trial` costs only a backward.

        Returns:
            The numbers that an acceptance test needs.

        Raises:
            NonFiniteLossError: If the loss at ``point`` is NaN or infinite.
        """
        self.layout.write(trial)
        trial_loss = self._value(keep_graph)
        step_norm = vectors.norm(step.vector, self._local_model.norm)
        pending = [point.loss, point.model.slope, step.predicted_reduction, trial_loss, step_norm]
        loss, slope, predicted, value, length = vectors.to_host(pending)
        point.loss, point.model.slope = loss, slope
        _require_finite(loss)
        return Measured(loss, value, predicted, length)

    def linearise_trial(self, trial: Vector, trial_loss: float) -> Point:
        """Turn the trial just evaluated into an iterate: a backward through the kept graph.

        Args:
            trial: Its parameters.
            trial_loss: Its loss.

        Returns:
            The new iterate.
        """
        assert self._graph is not None
        gradient = self.layout.flatten(self._differentiate(self._graph, []))
        self._graph = None
        return Point(trial, trial_loss, self._local_model.at(gradient))

    def loss_of(self, point: Point) -> float:
        """Bring the loss of an iterate to the host ahead of its first acceptance test.

        Raises:
            NonFiniteLossError: If it is NaN or infinite.
        """
        (point.loss,) = vectors.to_host([point.loss])
        _require_finite(point.loss)
        return point.loss

    def loss_at(self, theta: Vector) -> float:
        """Return ``f_B`` at other parameters; leaves the parameters there."""
        self.layout.write(
            [flat.to(b[0]) for flat, b in zip(theta, self.layout.blocks, strict=True)]
        )
        return vectors.to_host([self._value(keep_graph=False)])[0]

    def local_pass(self) -> AbstractContextManager[None]:
        """Surround a subdomain's own pass: it starts from the same buffers and leaves no trace."""
        return self._replay.again()

    def _value(self, keep_graph: bool) -> Tensor:
        self._graph = None
        with self._replay.again():
            loss = self._forward(keep_graph)
        if keep_graph:
            self._graph = loss
        return loss.detach()

    def _forward(self, keep_graph: bool = True) -> Tensor:
        self.counts.forwards += 1
        with torch.set_grad_enabled(keep_graph):
            loss = self.closure()
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            found = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
            raise ValueError(f"the closure must return the loss, a scalar tensor, got {found}")
        if keep_graph and not loss.requires_grad:
            raise ValueError("the closure's loss does not depend on the optimizer's parameters")
        with torch.set_grad_enabled(keep_graph):
            return loss.reshape(())

    def _differentiate(self, loss: Tensor, boundaries: list[Tensor]) -> list[Tensor]:
        self.counts.backwards += 1
        inputs = [*self.layout.parameters, *boundaries]
        try:
            return list(torch.autograd.grad(loss, inputs, materialize_grads=True))
        except RuntimeError as error:
            if "second time" in str(error):
                raise ValueError(_BACKWARD_CALLED) from error
            raise


def _require_finite(loss: float) -> None:
    if not math.isfinite(loss):
        raise NonFiniteLossError(f"the loss at the current iterate is {loss}")


def _gradient_version(parameter: Tensor) -> tuple[int, int] | None:
    gradient = parameter.grad
    return None if gradient is None else (id(gradient), gradient._version)
