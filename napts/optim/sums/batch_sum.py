"""Any batch as a finite sum: the full-batch loss of a network, differentiated by autograd."""

from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from napts.optim.batch import Batch
from napts.optim.passes import ClosurePasses, GraphWantedError, require_graph, scalar_loss
from napts.optim.record import PassCounts
from napts.optim.relayout import identical
from napts.optim.replay import Replay
from napts.optim.sums.finite_sum import FiniteSum, HessianProduct
from napts.optim.vectors import Layout, Vector


class BatchSum(FiniteSum):
    """A :class:`napts.Batch` as a :class:`FiniteSum`.

    It writes the parameters before every evaluation. All evaluations see the same random numbers
    and buffers, so that it is a function even with dropout and batch norm; on another subset it is
    another function. Hessian-vector products are a second backward pass through the graph of a
    gradient.

    Args:
        batch: What is evaluated; its regulariser, if any, is part of every subset's loss.
        layout: The parameters that its loss depends on.

    Raises:
        ValueError: The network of the batch is spread over ranks.
    """

    def __init__(self, batch: Batch, layout: Layout) -> None:
        super().__init__(layout)
        if batch.communicator.spread:
            raise ValueError(
                "found a network that is spread over ranks, allowed where a method needs the loss "
                "as a function of its parameters: a network in one process"
            )
        self._batch = batch
        self._passes = ClosurePasses(batch, layout.parameters, PassCounts())
        self._replay = Replay(layout.cuda_devices, self._refuse)
        self._begun = False

    @property
    def draws(self) -> bool:
        """Whether evaluations have been seen to draw random numbers."""
        return self._begun and self._replay.draws()

    def __len__(self) -> int:
        """Return the number of samples.

        Raises:
            ValueError: They are not known, as with a plain closure.
        """
        return len(self._batch)

    def __call__(self) -> Tensor:
        """Return the loss, with its graph, at the current parameters."""
        return self._batch()

    @torch.no_grad()
    def value(self, theta: Vector) -> float:
        """Return ``L(theta)``: a forward pass, which leaves the parameters there."""
        self.layout.write(theta)
        try:
            with self._surroundings():
                return self._passes.value().item()
        except GraphWantedError:
            with self._surroundings():
                return self._passes.value().item()

    @torch.no_grad()
    def value_and_gradient(self, theta: Vector) -> tuple[float, Vector]:
        """Return ``L(theta)`` and its gradient; leaves the parameters there."""
        self.layout.write(theta)
        with self._surroundings():
            loss, gradient = self._passes.linearise(None)
        return loss.item(), self.layout.flatten(gradient)

    def hessian(self, theta: Vector) -> HessianProduct:
        """Return what multiplies the Hessian: the graph of a gradient at ``theta``, which is kept.

        If the parameters have been written to since, the graph is rebuilt.
        """
        return _Products(self, [flat.clone() for flat in theta])

    def take(self, samples: slice | Tensor) -> "BatchSum":
        """Return the sum of some of the samples; see :meth:`napts.Batch.take`."""
        return BatchSum(self._batch.take(samples), self.layout)

    def gradient_graph(self, theta: Vector) -> list[Tensor]:
        """Return the gradient at ``theta``, one tensor for each parameter, with its own graph."""
        with torch.no_grad():
            self.layout.write(theta)
        with self._surroundings(), torch.enable_grad():
            loss = scalar_loss(self._batch())
            require_graph(loss)
            return list(
                torch.autograd.grad(
                    loss,
                    self.layout.parameters,
                    create_graph=True,
                    allow_unused=True,
                    materialize_grads=True,
                )
            )

    def _refuse(self, wrapper: nn.Module) -> None:
        """Refuse a data-parallel wrapper around the parameters: its processes would diverge."""
        own = set(map(id, self.layout.parameters))
        if any(id(parameter) in own for parameter in wrapper.parameters()):
            raise ValueError(
                f"found {type(wrapper).__name__}, allowed where a method needs the loss as a "
                "function of its parameters: the network itself, in one process"
            )

    def _surroundings(self) -> AbstractContextManager[None]:
        if self._begun:
            return self._replay.again()
        self._begun = True
        return self._replay.first()


def as_sum(batch: Batch, layout: Layout) -> FiniteSum:
    """Return a batch as a finite sum over the parameters of a layout.

    Args:
        batch: What an optimizer's ``step`` was given. A sum over the same parameters in the same
            order is returned as it is; one over others is evaluated by its graph, as any batch.
        layout: The parameters of the optimizer.
    """
    if isinstance(batch, FiniteSum):
        theirs, ours = batch.layout.blocks, layout.blocks
        if len(theirs) == len(ours) and all(map(identical, theirs, ours)):
            return batch
    return BatchSum(batch, layout)


class _Products:
    """The Hessian of a :class:`BatchSum` at one point."""

    def __init__(self, of: BatchSum, theta: Vector) -> None:
        self._sum, self._theta = of, theta
        self._gradient: list[Tensor] = []
        self._versions: list[int] = []

    def __call__(self, vector: Vector) -> Vector:
        layout = self._sum.layout
        if not self._gradient or self._versions != [p._version for p in layout.parameters]:
            self._gradient = self._sum.gradient_graph(self._theta)
            self._versions = [p._version for p in layout.parameters]
        pairs = [
            (gradient, part)
            for gradient, part in zip(self._gradient, layout.parts(vector), strict=True)
            if gradient.requires_grad
        ]
        if not pairs:  # a loss that is linear in the parameters
            return [torch.zeros_like(flat) for flat in vector]
        found = torch.autograd.grad(
            [gradient for gradient, _ in pairs],
            layout.parameters,
            [part for _, part in pairs],
            retain_graph=True,
            allow_unused=True,
            materialize_grads=True,
        )
        return layout.flatten(found)
