"""A batch of which parts can be evaluated, alone or on several processes."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from napts.optim.communicator import ONE_PROCESS
from napts.optim.passes import ClosurePasses, Passes
from napts.optim.record import PassCounts
from napts.optim.replay import RandomState, Replay
from napts.optim.replicas import ONE_REPLICA, Replicas, check_copies
from napts.optim.step_context import StepContext
from napts.optim.subdomains import Decomposition
from napts.optim.vectors import cuda_devices

_T = TypeVar("_T")


class SplitBatch:
    """A closure that also knows the loss of parts of its batch.

    Args:
        loss: Returns the mean loss of the samples that it is given, without ``backward()``.
        inputs: ``(n, ...)`` inputs of the batch.
        targets: ``(n, ...)`` targets.
        replicas: The processes that share the subdomains of :class:`napts.APTSW` or the shards of
            :class:`napts.APTSD`, from :func:`napts.join_ranks`; all of them have this batch, the
            same parameters and the same random state.

    Example:
        >>> optimizer = napts.APTSD(model.parameters(), shards=4)
        >>> for inputs, targets in loader:
        ...     batch = napts.SplitBatch(lambda x, y: criterion(model(x), y), inputs, targets)
        ...     loss = optimizer.step(batch)
    """

    def __init__(
        self,
        loss: Callable[[Tensor, Tensor], Tensor],
        inputs: Tensor,
        targets: Tensor,
        replicas: Replicas = ONE_REPLICA,
    ) -> None:
        self.replicas = replicas
        self._loss = loss
        self._inputs = inputs
        self._targets = targets

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self._targets)

    def __call__(self) -> Tensor:
        """Return the mean loss of the batch."""
        return self._loss(self._inputs, self._targets)

    def part(self, index: int, count: int) -> Tensor:
        """Return the mean loss of one of ``count`` parts of almost equal size."""
        own = self.samples(index, count)
        return self._loss(self._inputs[own], self._targets[own])

    def samples(self, index: int, count: int) -> slice:
        """Return which samples one of ``count`` parts has.

        Raises:
            ValueError: If there are fewer samples than parts.
        """
        size = len(self)
        if size < count:
            raise ValueError(f"shards: found {count}, allowed: 1 to {size}, the batch's samples")
        return slice(index * size // count, (index + 1) * size // count)


def replicas_of(closure: object) -> Replicas:
    """Return the processes that share what an optimizer's ``step`` was given."""
    return closure.replicas if isinstance(closure, SplitBatch) else ONE_REPLICA


class PartPasses(Passes):
    """The passes of a batch that is evaluated part by part, by whoever has the part.

    The loss is the mean of the parts' means, weighted by their samples. Every part sees the same
    random numbers, and layers that look at the batch (BatchNorm) see the part; the first one leaves
    its marks in buffers. What the generators do next does not depend on who had which part.

    Args:
        batch: The batch.
        count: Number of parts.
        parameters: The parameters that are trained.
        context: What is known of the closure.

    Raises:
        ValueError: If there are fewer parts than processes.

    Attributes:
        found: Loss and gradients of this process's parts where the batch was last linearised, by
            the number of the part.
    """

    def __init__(
        self,
        batch: SplitBatch,
        count: int,
        parameters: Sequence[Tensor],
        context: StepContext | None = None,
    ) -> None:
        self.communicator = ONE_PROCESS
        self.counts = PassCounts()
        self.replicas = batch.replicas
        self.found: dict[int, tuple[Tensor, list[Tensor]]] = {}
        self._batch, self._count = batch, count
        self._parameters = list(parameters)
        self._context = context or StepContext()
        self._devices = cuda_devices(self._parameters)
        own = self.replicas.own(count)
        self._parts = {index: self.part(index, PassCounts()) for index in own}
        if not self._parts:
            raise ValueError(f"shards: found {count}, allowed: one or more for each process")

    def part(self, index: int, counts: PassCounts) -> ClosurePasses:
        """Return the passes of one part.

        Args:
            index: Which one.
            counts: Where its passes are counted, as whole ones.
        """
        loss = partial(self._batch.part, index, self._count)
        return ClosurePasses(loss, self._parameters, counts, self._context)

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
        """Return what each own part gives, all from the same random state."""
        replay, found = Replay(self._devices), {}
        for index, part in self._parts.items():
            with replay.again() if found else replay.first():
                found[index] = evaluate(part)
        return found

    def _mean(self, values: dict[int, list[Tensor]]) -> list[Tensor]:
        """Return the mean over all parts, this process's and the others'."""
        means: list[Tensor] = []
        for index, tensors in values.items():
            own = self._batch.samples(index, self._count)
            weight = (own.stop - own.start) / len(self._batch)
            if means:
                torch._foreach_add_(means, tensors, alpha=weight)
            else:
                means = [weight * tensor for tensor in tensors]
        self.replicas.add(means)
        return means
