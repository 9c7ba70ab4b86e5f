"""What is evaluated: the loss of one batch, as a whole or on a part of its samples."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from napts.optim.communicator import ONE_PROCESS, Communicator
from napts.optim.part_passes import PartPasses
from napts.optim.passes import ClosurePasses, Passes
from napts.optim.record import PassCounts
from napts.optim.replicas import ONE_REPLICA, Replicas
from napts.optim.step_context import StepContext
from napts.optim.subdomains import Closure

WRITE = "`optimizer.step(lambda: criterion(model(inputs), targets))`, without backward()"
"""How ``step`` is called."""

SAMPLES_UNKNOWN = (
    "this method needs to know the parts of a batch, which a closure cannot give: write "
    "`optimizer.step(napts.Batch(loss, samples))`, where loss(samples) is the mean loss of the "
    "samples that it is given"
)
"""The message where a plain closure is not enough."""


class Batch:
    """The loss of one batch, which an optimizer's ``step`` evaluates wherever it has to.

    ``batch()`` is the mean loss of all its samples, ``batch.part(2, 4)`` that of the third quarter
    of them, and ``batch.take(samples)`` is a batch of the given ones. A plain closure is the
    simplest form of a batch, whose samples are not known. :meth:`napts.Pipeline.batch` returns
    another form, whose network is spread over ranks. A further kind of batch (for other networks of
    a hierarchy, say) defines in :meth:`passes` how it is evaluated and differentiated.

    Args:
        loss: Returns the mean loss of the samples that it is given, without ``backward()``.
        samples: What ``loss`` takes: a tensor, or a tuple, list or dictionary of tensors (nested or
            not). Dimension 0 of the first tensor counts the samples.
        replicas: The processes that share the subdomains of :class:`napts.APTSW` or the shards of
            :class:`napts.APTSD`, from :func:`napts.join_ranks`. All of them must have this batch,
            the same parameters and the same random state.

    Attributes:
        replicas: As given.
        communicator: Combines the numbers of the ranks over which the network is spread.
        function_key: Batches with the same key promise to have the same loss as a function of the
            parameters, so that a method may reuse what it knows from the step before. ``None``
            makes no such promise.

    Example:
        >>> optimizer = napts.APTSD(model.parameters(), shards=4)
        >>> for samples in loader:
        ...     loss = optimizer.step(napts.Batch(lambda batch: mean_loss(model, batch), samples))
    """

    communicator: Communicator = ONE_PROCESS
    function_key: str | None = None

    def __init__(
        self, loss: Callable[[Any], Tensor], samples: Any, replicas: Replicas = ONE_REPLICA
    ) -> None:
        self.replicas = replicas
        self._loss = loss
        self._samples = samples

    def __len__(self) -> int:
        """Return the number of samples.

        Raises:
            ValueError: If there is no tensor, or the first one has no dimension.
        """
        first = next(iter(_tensors_in(self._samples)), None)
        if first is None or first.dim() == 0:
            found = type(self._samples).__name__ if first is None else "a tensor without dimensions"
            raise ValueError(
                f"batch: found {found}, allowed: tensors whose dimension 0 counts the samples"
            )
        return len(first)

    def __call__(self) -> Tensor:
        """Return the mean loss of the batch."""
        return self._loss(self._samples)

    def take(self, samples: slice | Tensor) -> "Batch":
        """Return a batch of some of the samples.

        Args:
            samples: Which ones, as an index into dimension 0.

        Raises:
            ValueError: If a tensor differs from the first one in its number of samples.
        """
        return Batch(self._loss, _taken(self._samples, samples, len(self)))

    def part(self, index: int, count: int) -> Tensor:
        """Return the mean loss of one of ``count`` parts of almost equal size."""
        return self.take(self.samples(index, count))()

    def samples(self, index: int, count: int) -> slice:
        """Return the samples that one of ``count`` parts has.

        Raises:
            ValueError: If there are fewer samples than parts.
        """
        size = len(self)
        if size < count:
            raise ValueError(f"shards: found {count}, allowed: 1 to {size}, the batch's samples")
        return slice(index * size // count, (index + 1) * size // count)

    def passes(
        self, parameters: Sequence[Tensor], counts: PassCounts, context: StepContext | None = None
    ) -> Passes:
        """Return what evaluates and differentiates the batch as a whole, for one step.

        Args:
            parameters: The parameters in training.
            counts: Where passes are counted.
            context: What is known about the closure.
        """
        return ClosurePasses(self, parameters, counts, context)

    def in_parts(
        self,
        count: int,
        parameters: Sequence[Tensor],
        counts: PassCounts,
        context: StepContext | None = None,
    ) -> PartPasses:
        """Return what evaluates the batch part by part; further arguments as for :meth:`passes`.

        Args:
            count: Number of parts.
            parameters: The parameters in training.
            counts: Where passes are counted.
            context: What is known about the closure.

        Raises:
            ValueError: If there are fewer samples than parts or fewer parts than processes.
        """
        size = len(self)
        parts = [self.samples(index, count) for index in range(count)]
        return PartPasses(
            [self.take(samples) for samples in parts],
            [(samples.stop - samples.start) / size for samples in parts],
            self.replicas,
            parameters,
            counts,
            context,
        )


class SplitBatch(Batch):
    """A :class:`Batch` of inputs and targets.

    Args:
        loss: Returns the mean loss of the inputs and targets that it is given, without
            ``backward()``.
        inputs: ``(n, ...)`` inputs of the batch.
        targets: ``(n, ...)`` targets.
        replicas: See :class:`Batch`.

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
        def of_both(samples: tuple[Tensor, Tensor]) -> Tensor:
            return loss(*samples)

        super().__init__(of_both, (inputs, targets), replicas)


class WholeBatch(Batch):
    """The batch of a plain closure, whose samples are not known.

    Args:
        closure: Returns the loss, without ``backward()``.
    """

    def __init__(self, closure: Closure) -> None:
        self.replicas = ONE_REPLICA
        self._closure = closure

    def __call__(self) -> Tensor:
        """Return what the closure returns."""
        return self._closure()

    def __len__(self) -> int:
        """Refuse: the number of samples is not known.

        Raises:
            ValueError: Always.
        """
        raise ValueError(SAMPLES_UNKNOWN)

    def take(self, samples: slice | Tensor) -> Batch:
        """Refuse: the samples are not known.

        Raises:
            ValueError: Always.
        """
        raise ValueError(SAMPLES_UNKNOWN)


def as_batch(closure: Closure | Batch | None) -> Batch:
    """Return what an optimizer's ``step`` was given as a batch.

    Raises:
        ValueError: If it is neither a batch nor a closure.
    """
    if isinstance(closure, Batch):
        return closure
    if callable(closure):
        return WholeBatch(closure)
    found = "none" if closure is None else type(closure).__name__
    raise ValueError(
        f"step() needs a closure that returns the loss, found {found}: write {WRITE}; the "
        "optimizer evaluates and differentiates the loss itself"
    )


def _tensors_in(samples: Any) -> list[Tensor]:
    if isinstance(samples, Tensor):
        return [samples]
    if isinstance(samples, Mapping):
        samples = list(samples.values())
    if isinstance(samples, (tuple, list)):
        return [tensor for each in samples for tensor in _tensors_in(each)]
    return []


def _taken(samples: Any, which: slice | Tensor, size: int) -> Any:
    """Return some of the samples in the same structure; anything but a tensor stays as it is."""
    if isinstance(samples, Tensor):
        if samples.dim() == 0 or len(samples) != size:
            raise ValueError(
                f"batch: found a tensor of shape {tuple(samples.shape)} beside {size} samples, "
                "allowed when parts of the batch are evaluated: one row for each sample"
            )
        return samples[which]
    if isinstance(samples, Mapping):
        return {name: _taken(each, which, size) for name, each in samples.items()}
    if isinstance(samples, (tuple, list)):
        taken = [_taken(each, which, size) for each in samples]
        return type(samples)(*taken) if hasattr(samples, "_fields") else type(samples)(taken)
    return samples
