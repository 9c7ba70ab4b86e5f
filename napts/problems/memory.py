"""Samples in memory."""

from collections.abc import Callable, Iterator
from typing import Any, Self

import torch
from torch import Tensor

from napts.decomposition.trees import mapped, tensors_of
from napts.problems.batches import epoch_chunks
from napts.problems.samples import (
    EVALUATION_BATCH,
    EpochOrder,
    SampleSet,
    as_type,
    samples_in,
)
from napts.problems.tensors import Normalisation, Prepare, digest


class TensorSamples(SampleSet):
    """Samples in memory, stored compactly and prepared when read.

    Args:
        data: A tensor, or a tuple, list or dictionary of tensors of the same length.
        normalisation: Constants for the first tensor, the inputs, or None.
        prepare: Applied to the first tensor of a batch, instead of the normalisation.
    """

    def __init__(
        self,
        data: Any,
        normalisation: Normalisation | None = None,
        *,
        prepare: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.data = data
        self.stored = tensors_of(data)
        lengths = [tensor.shape[0] if tensor.dim() else 0 for tensor in self.stored]
        if len(set(lengths)) > 1 or not all(tensor.dim() for tensor in self.stored):
            found = " and ".join(map(str, lengths))
            raise ValueError(f"all tensors of a set must have the same length, got {found}")
        samples_in(data)
        self._normalisation = normalisation
        if prepare is None and normalisation is not None:
            prepare = Prepare(normalisation)
        self._prepare = prepare

    def __len__(self) -> int:
        """Return the number of samples."""
        return self.stored[0].shape[0]

    @property
    def device(self) -> torch.device:
        """Where the samples are."""
        return self.stored[0].device

    @property
    def inputs(self) -> Tensor:
        """The first tensor, as stored."""
        return self.stored[0]

    @property
    def targets(self) -> Tensor:
        """The second tensor."""
        return self.stored[1]

    def to(self, device: torch.device | str, dtype: torch.dtype) -> "TensorSamples":
        """Return the same samples resident on a device, floating-point tensors in that type."""
        prepare = self._prepare
        if self._normalisation is not None:
            prepare = Prepare(self._normalisation, device=device, dtype=dtype)
        data = mapped(lambda tensor: as_type(tensor.to(device), dtype), self.data)
        return type(self)(data, self._normalisation, prepare=prepare)

    def take(self, index: Tensor) -> Self:
        """Return the samples at these positions, in their order."""
        data = mapped(lambda tensor: tensor[index], self.data)
        return type(self)(data, self._normalisation, prepare=self._prepare)

    def batch(self, index: Tensor | slice) -> Any:
        """Return some samples, prepared.

        Args:
            index: Slice, or int64 positions on the device of the set.
        """
        batch = mapped(lambda tensor: tensor[index], self.data)
        if self._prepare is None:
            return batch
        return _with_first(batch, self._prepare)

    def tensors(self) -> Any:
        """Return all samples as one batch."""
        return self.batch(slice(None))

    def all(self) -> Any:
        """Return all samples as one batch."""
        return self.tensors()

    def first(self, count: int) -> Any:
        """Return the first ``count`` samples as a batch."""
        return self.batch(slice(0, count))

    def batches(self, batch_size: int = EVALUATION_BATCH) -> Iterator[Any]:
        """Return an iterator over all samples, in their order."""
        steps = range(0, len(self), batch_size)
        return (self.batch(slice(first, first + batch_size)) for first in steps)

    def _epoch(self, order: EpochOrder) -> Iterator[Any]:
        if order.batch_size == "full":
            return (self.tensors() for _ in range(order.start, 1))
        chunks = epoch_chunks(len(self), order)[order.start :]
        return (self.batch(chunk.to(self.device)) for chunk in chunks)

    def fingerprint(self) -> tuple[str, bool]:
        """Return the digest of the stored tensors."""
        return digest(self.stored), True


def _with_first(batch: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """Return a batch with its first tensor mapped."""
    if isinstance(batch, Tensor):
        return function(batch)
    if isinstance(batch, tuple) and len(batch) == 2:  # inputs and targets: the hot path
        return function(batch[0]), batch[1]
    seen = iter([True])
    return mapped(lambda tensor: function(tensor) if next(seen, False) else tensor, batch)
