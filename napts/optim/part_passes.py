"""The passes of a batch that is evaluated part by part, alone or on several processes."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from napts.optim.communicator import ONE_PROCESS
from napts.optim.passes import ClosurePasses, Passes
from napts.optim.record import PassCounts
from napts.optim.replay import RandomState, Replay
from napts.optim.replicas import Replicas, check_copies
from napts.optim.step_context import StepContext
from napts.optim.subdomains import Closure, Decomposition
from napts.optim.vectors import cuda_devices

_T = TypeVar("_T")


class PartPasses(Passes):
    """The passes of a batch that is evaluated part by part, each part by the process that has it.

    The loss is the mean of the parts' means, weighted by their numbers of samples. Every part sees
    the same random numbers, and layers that look at the batch (BatchNorm) see the part; only the
    first part updates buffers. The later random numbers do not depend on which process had which
    part.

    Args:
        losses: Return the mean loss of each part.
        weights: The share of the batch's samples that each part has.
        replicas: The processes that share the parts.
        parameters: The parameters in training.
        counts: Where passes are counted.
        context: What is known about the closure.

    Raises:
        ValueError: If there are fewer parts than processes.

    Attributes:
        replicas: As given.
        found: Loss and gradients of this process's parts at the last linearisation, by the number
            of the part.
    """

    divided = True

    def __init__(
        self,
        losses: Sequence[Closure],
        weights: Sequence[float],
        replicas: Replicas,
        parameters: Sequence[Tensor],
        counts: PassCounts,
        context: StepContext | None = None,
    ) -> None:
        self.communicator = ONE_PROCESS
        self.counts = counts
        self.replicas = replicas
        self.found: dict[int, tuple[Tensor, list[Tensor]]] = {}
        self._losses, self._weights = losses, weights
        self._parameters = list(parameters)
        self._context = context or StepContext()
        self._devices = cuda_devices(self._parameters)
        own = self.replicas.own(len(losses))
        self._parts = {index: self.part(index, PassCounts()) for index in own}
        if not self._parts:
            raise ValueError(f"shards: found {len(losses)}, allowed: one or more for each process")

    def part(self, index: int, counts: PassCounts) -> ClosurePasses:
        """Return the passes of one part.

        Args:
            index: Which one.
            counts: Where its passes are counted, as whole ones.
        """
        return ClosurePasses(self._losses[index], self._parameters, counts, self._context)

    def linearise(self, decomposition: Decomposition | None) -> tuple[Tensor, list[Tensor]]:
        """Return loss and gradient, and keep those of the own parts."""
        check_copies(self.replicas, self._parameters)
        self.counts.forwards += 1
        self.counts.backwards += 1
        before = RandomState(self._devices)
        self.found = self._each(lambda part: part.linearise(None))
        before.go_on()
        loss = self._mean({index: [loss] for index, (loss, _) in self.found.items()})
        return loss[0], self._mean({index: slope for index, (_, slope) in self.found.items()})

    def value(self) -> Tensor:
        """Return the loss."""
        self.counts.forwards += 1
        return self._mean(self._each(lambda part: [part.value()]))[0]

    def trial(self) -> Tensor:
        """Return the loss, and keep the graphs of the own parts."""
        self.counts.forwards += 1
        return self._mean(self._each(lambda part: [part.trial()]))[0]

    def trial_gradient(self, of: Sequence[Tensor] | None = None) -> list[Tensor]:
        """Return the gradient at the latest trial point, of all or of some parameters."""
        self.counts.backwards += 1
        return self._mean(self._each(lambda part: part.trial_gradient(of)))

    def _each(self, evaluate: Callable[[ClosurePasses], _T]) -> dict[int, _T]:
        """Return the result of each of this process's parts, all from the same random state."""
        replay, found = Replay(self._devices), {}
        for index, part in self._parts.items():
            with replay.again() if found else replay.first():
                found[index] = evaluate(part)
        return found

    def _mean(self, values: dict[int, list[Tensor]]) -> list[Tensor]:
        """Return the mean over all parts, this process's and the others'."""
        means: list[Tensor] = []
        for index, tensors in values.items():
            weight = self._weights[index]
            if means:
                torch._foreach_add_(means, tensors, alpha=weight)
            else:
                means = [weight * tensor for tensor in tensors]
        self.replicas.add(means)
        return means
