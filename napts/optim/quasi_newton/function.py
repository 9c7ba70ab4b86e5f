"""The loss of a batch as a function of one flat vector; every evaluation has a gradient."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from napts.optim.batch import Batch
from napts.optim.passes import ClosurePasses
from napts.optim.record import PassCounts
from napts.optim.replay import Replay
from napts.optim.replicas import ONE_REPLICA, check_copies
from napts.optim.step_context import StepContext
from napts.optim.vectors import Layout


@dataclass(frozen=True, slots=True)
class Point:
    """An iterate.

    Attributes:
        theta: All parameters, flat.
        loss: The loss there.
        gradient: The gradient there.
    """

    theta: Tensor
    loss: float
    gradient: Tensor


class Function:
    """``L(theta)`` for one step: every evaluation sees the same samples, masks and buffers.

    Args:
        batch: What is evaluated.
        layout: All parameters, in one block.
        context: What surrounds the steps of its optimizer.

    Attributes:
        counts: The passes so far. Each evaluation is one forward and one backward, those of line
            searches like any other.
        layout: As given.
        replicas: The processes that share the subdomains.

    Raises:
        ValueError: The network is spread over ranks.
    """

    def __init__(self, batch: Batch, layout: Layout, context: StepContext) -> None:
        if batch.communicator.spread:
            raise ValueError(
                "found a network that is spread over ranks, allowed for quasi-Newton methods: a "
                "network in one process, or a copy in each"
            )
        self.counts, self.layout, self.replicas = PassCounts(), layout, batch.replicas
        self._context = context
        self._passes = ClosurePasses(batch, layout.parameters, self.counts, context)
        self._replay = Replay(layout.cuda_devices, lambda m: context.meet(m, layout.parameters))
        self._begun = False

    def start(self) -> Point:
        """Evaluate at the current parameters.

        Raises:
            ValueError: If the closure has called ``backward()`` or does not return a scalar loss,
                or if processes have their own batches.
        """
        self._context.check_whole(self.layout.parameters)
        check_copies(self.replicas, self.layout.parameters)
        with self._surroundings():
            loss, gradient = self._passes.linearise(None)
        if self._context.wonders:
            self._context.note(draws=self._replay.draws())
        self._context.check_alone()
        processes = self._context.joined()
        if processes is not None and processes.size > 1:
            raise ValueError(
                "found a DistributedDataParallel network, whose processes have their own batches, "
                "allowed for quasi-Newton methods: the same batch in every process"
            )
        return self._point(self.layout.read()[0], loss, self.layout.flatten(gradient)[0])

    def at(self, theta: Tensor) -> Point:
        """Evaluate at other parameters, which are left there."""
        self.layout.write([theta])
        with self._surroundings():
            loss = self._passes.trial()
            gradient = self._passes.trial_gradient()
        self._context.check_alone()
        return self._point(theta, loss, self.layout.flatten(gradient)[0])

    def value(self) -> float:
        """Return the loss at the current parameters; :meth:`gradient` may be asked for next."""
        with self._surroundings():
            loss = self._passes.trial().item()
        return loss if math.isfinite(loss) else math.inf

    def gradient(self, of: list[Tensor]) -> list[Tensor]:
        """Return the gradient with respect to some parameters at the point of :meth:`value`."""
        with self._surroundings():
            return self._passes.trial_gradient(of)

    @property
    def draws(self) -> bool:
        """Whether the closure draws random numbers, so that another step has another function."""
        return self._context.draws

    def _surroundings(self):
        first, self._begun = not self._begun, True
        return self._replay.first() if first else self._replay.again()

    def _point(self, theta: Tensor, loss: Tensor, gradient: Tensor) -> Point:
        if self.replicas is not ONE_REPLICA:
            # The same bits everywhere, and so the same decisions.
            number = loss.detach().reshape(1).clone()
            self.replicas.lead([gradient, number])
            loss = number
        return Point(theta, loss.item(), gradient)


def step_along(theta: Tensor, direction: Tensor, length: float) -> Tensor:
    """Return ``theta + length * direction``."""
    return torch.add(theta, direction, alpha=length)
