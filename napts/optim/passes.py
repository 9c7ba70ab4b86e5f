"""Passes through the network: who evaluates and differentiates the loss of the batch, and how."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from napts.optim.communicator import ONE_PROCESS, Communicator
from napts.optim.gradients import gradients
from napts.optim.record import PassCounts
from napts.optim.subdomains import Closure, Decomposition

_BACKWARD_CALLED = (
    "the closure must not call backward(): write `optimizer.step(lambda: criterion(model(inputs), "
    "targets))`, the optimizer differentiates the loss itself and only where it has to"
)


class Passes(ABC):
    """Evaluates one batch's loss wherever the parameters stand.

    A loss is this rank's share of it (see :mod:`napts.optim.communicator`); gradients are those
    of the whole loss with respect to this rank's parameters. Every pass is counted.

    Attributes:
        communicator: Combines the shares of the ranks.
        counts: Where passes are counted.
    """

    communicator: Communicator
    counts: PassCounts

    @abstractmethod
    def linearise(self, decomposition: Decomposition | None) -> tuple[Tensor, list[Tensor]]:
        """Return loss and gradient; fill the caches of the decomposition on the way."""

    @abstractmethod
    def value(self) -> Tensor:
        """Return the loss: a forward pass and nothing else."""

    @abstractmethod
    def trial(self) -> Tensor:
        """Return the loss at a trial point, whose gradient may be asked for next."""

    @abstractmethod
    def trial_gradient(self, of: Sequence[Tensor] | None = None) -> list[Tensor]:
        """Return the gradient at the latest trial point, of all or of some parameters."""

    def known_trial_gradient(self) -> list[Tensor] | None:
        """Return the gradient at the latest trial point if it was computed with the loss."""
        return None

    def accept_trial(self) -> None:  # noqa: B027, most have nothing to do
        """Note that the latest trial was accepted."""


class ClosurePasses(Passes):
    """The passes of one process, whose closure calls the whole model.

    A trial keeps its graph, so that the gradient of an accepted trial costs only the backward.

    Args:
        closure: Computes the loss of the batch, without ``backward()``.
        parameters: The parameters that are trained.
        counts: Where passes are counted.
    """

    def __init__(self, closure: Closure, parameters: Sequence[Tensor], counts: PassCounts) -> None:
        self.communicator = ONE_PROCESS
        self.counts = counts
        self._closure = closure
        self._parameters = list(parameters)
        self._graph: Tensor | None = None

    def linearise(self, decomposition: Decomposition | None) -> tuple[Tensor, list[Tensor]]:
        """Return loss and gradient; fill the caches of the decomposition on the way.

        Raises:
            ValueError: If the closure has called ``backward()`` or does not return a scalar loss.
        """
        before = _gradients_in(self._parameters)
        if decomposition is None:
            loss = self._forward(differentiable=True)
        else:
            with decomposition.capture():
                loss = self._forward(differentiable=True)
        after = _gradients_in(self._parameters)
        if after != before and any(after):
            raise ValueError(_BACKWARD_CALLED)
        boundaries: list[Tensor] = []
        if decomposition is not None:
            decomposition.inspect(loss)
            boundaries = decomposition.boundaries()
        found = self._differentiate(loss, [*self._parameters, *boundaries])
        if decomposition is not None:
            decomposition.set_downstream(found[len(self._parameters) :])
        return loss.detach(), found[: len(self._parameters)]

    def value(self) -> Tensor:
        """Return the loss, without a graph."""
        self._graph = None
        return self._forward(differentiable=False)

    def trial(self) -> Tensor:
        """Return the loss and keep its graph."""
        self._graph = None
        self._graph = self._forward(differentiable=True)
        return self._graph.detach()

    def trial_gradient(self, of: Sequence[Tensor] | None = None) -> list[Tensor]:
        """Return the gradient at the latest trial point: a backward through the kept graph."""
        assert self._graph is not None
        found = self._differentiate(self._graph, self._parameters if of is None else of)
        self._graph = None
        return found

    def _forward(self, *, differentiable: bool) -> Tensor:
        self.counts.forwards += 1
        if not differentiable:
            return _scalar(self._closure())  # torch.no_grad() is in force in every step
        with torch.enable_grad():
            loss = _scalar(self._closure())
        if not loss.requires_grad:
            raise ValueError("the closure's loss does not depend on the optimizer's parameters")
        return loss

    def _differentiate(self, loss: Tensor, inputs: Sequence[Tensor]) -> list[Tensor]:
        self.counts.backwards += 1
        try:
            return gradients(loss, inputs)
        except RuntimeError as error:
            if "second time" in str(error):
                raise ValueError(_BACKWARD_CALLED) from error
            raise


def _scalar(loss: object) -> Tensor:
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        found = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
        raise ValueError(f"the closure must return the loss, a scalar tensor, got {found}")
    return loss if loss.dim() == 0 else loss.reshape(())


def _gradients_in(parameters: Sequence[Tensor]) -> list[tuple[int, int] | None]:
    """Return which ``.grad`` there are, in which version."""
    found = [parameter.grad for parameter in parameters]
    return [None if g is None else (id(g), g._version) for g in found]
