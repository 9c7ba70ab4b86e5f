"""Passes through the network: what evaluates and differentiates the loss of the batch, and how."""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from napts.optim.communicator import ONE_PROCESS, Communicator
from napts.optim.gradients import UNRELATED, gradients
from napts.optim.record import PassCounts
from napts.optim.step_context import StepContext
from napts.optim.subdomains import Closure, Decomposition

BACKWARD_CALLED = (
    "the closure must not call backward(): write `optimizer.step(lambda: criterion(model(inputs), "
    "targets))`, the optimizer differentiates the loss itself and only where it has to (Lightning: "
    "set `self.automatic_optimization = False` and call `self.optimizers().step(closure)` in "
    "training_step)"
)
"""The message for a closure that has filled ``.grad``."""

# What torch says where something is differentiated, or a gradient watched, without a graph.
_WANTS_GRAPH = re.compile(r"requires? grad|requires? gradient|requires_grad|grad_fn")


class GraphWantedError(Exception):
    """A closure differentiates inside, so it must be evaluated again, with a graph."""


class Passes(ABC):
    """Evaluates one batch's loss at the current parameters.

    A loss is this rank's share of it (see :mod:`napts.optim.communicator`); gradients are those
    of the whole loss with respect to this rank's parameters. Every pass is counted.

    Attributes:
        communicator: Combines the shares of the ranks.
        counts: Where passes are counted.
        divided: Whether the batch is evaluated in parts or on ranks.
    """

    divided = False
    communicator: Communicator
    counts: PassCounts

    @abstractmethod
    def linearise(self, decomposition: Decomposition | None) -> tuple[Tensor, list[Tensor]]:
        """Return loss and gradient; fill the caches of the decomposition on the way."""

    @abstractmethod
    def value(self) -> Tensor:
        """Return the loss: a forward pass and nothing else.

        Raises:
            GraphWantedError: If it turns out that the closure differentiates inside; called again
                from the same start, this returns the loss.
        """

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
        parameters: The parameters in training.
        counts: Where passes are counted.
        context: What is known about the closure.
    """

    def __init__(
        self,
        closure: Closure,
        parameters: Sequence[Tensor],
        counts: PassCounts,
        context: StepContext | None = None,
    ) -> None:
        self._context = context or StepContext()
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
            loss = self._forward()
        else:
            with decomposition.capture():
                loss = self._forward()
        if _changed(before, _gradients_in(self._parameters)):
            raise ValueError(BACKWARD_CALLED)
        require_graph(loss)
        boundaries: list[Tensor] = []
        if decomposition is not None:
            decomposition.inspect(loss)
            boundaries = decomposition.boundaries()
        wanted = [*self._parameters, *boundaries]
        found = self._differentiate(loss, wanted, needed=len(self._parameters))
        if decomposition is not None:
            decomposition.set_downstream(found[len(self._parameters) :])
        return loss.detach(), found[: len(self._parameters)]

    def value(self) -> Tensor:
        """Return the loss, without a graph unless the closure differentiates inside.

        Raises:
            GraphWantedError: If that is discovered now; from then on it is known.
        """
        self._graph = None
        if self._context.graph_for_values:
            return self._forward().detach()
        self.counts.forwards += 1
        try:
            return scalar_loss(self._closure())  # torch.no_grad() is in force in every step
        except RuntimeError as error:
            if not _WANTS_GRAPH.search(str(error)):
                raise
            self._context.graph_for_values = True
            raise GraphWantedError from error

    def trial(self) -> Tensor:
        """Return the loss and keep its graph."""
        self._graph = None
        self._graph = self._forward()
        require_graph(self._graph)
        return self._graph.detach()

    def trial_gradient(self, of: Sequence[Tensor] | None = None) -> list[Tensor]:
        """Return the gradient at the latest trial point: a backward through the kept graph."""
        assert self._graph is not None
        found = self._differentiate(self._graph, self._parameters if of is None else of)
        self._graph = None
        return found

    def _forward(self) -> Tensor:
        self.counts.forwards += 1
        with torch.enable_grad():
            return scalar_loss(self._closure())

    def _differentiate(
        self, loss: Tensor, inputs: Sequence[Tensor], *, needed: int = 0
    ) -> list[Tensor]:
        self.counts.backwards += 1
        try:
            return gradients(loss, inputs, needed=needed)
        except RuntimeError as error:
            if "second time" in str(error):
                raise ValueError(BACKWARD_CALLED) from error
            raise


def scalar_loss(loss: object) -> Tensor:
    """Return what a closure returned, as a tensor without dimensions.

    Raises:
        ValueError: If it is not a tensor with one element.
    """
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        found = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
        raise ValueError(f"the closure must return the loss, a scalar tensor, got {found}")
    return loss if loss.dim() == 0 else loss.reshape(())


def require_graph(loss: Tensor) -> None:
    """Check that a loss can be differentiated.

    Raises:
        ValueError: If it depends on no trained parameter.
    """
    if not loss.requires_grad:
        raise ValueError(UNRELATED)


def _gradients_in(parameters: Sequence[Tensor]) -> list[tuple[Tensor, int] | None]:
    """Return which ``.grad`` exist, and in which version."""
    # The tensors themselves: an id may be given to the next one.
    found = [parameter.grad for parameter in parameters]
    return [None if g is None else (g, g._version) for g in found]


def _changed(
    before: Sequence[tuple[Tensor, int] | None], after: Sequence[tuple[Tensor, int] | None]
) -> bool:
    """Tell whether some ``.grad`` is new or has been written to; dropping them is no change."""
    return any(after) and any(
        now is not None and (old is None or now[0] is not old[0] or now[1] != old[1])
        for old, now in zip(before, after, strict=True)
    )
