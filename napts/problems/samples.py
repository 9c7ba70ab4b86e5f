"""Sets of samples: the form of a problem's data, however they were given."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from napts.decomposition.trees import mapped, tensors_of

BatchSize = int | Literal["full"]
"""Samples per batch; ``"full"`` for the whole set in its own order, as one batch."""

EVALUATION_BATCH = 1000
"""Samples per forward pass outside training."""


@dataclass(frozen=True, slots=True)
class EpochOrder:
    """Which batches of which epoch of training are asked for.

    Attributes:
        batch_size: Samples per batch, at least 1; the last one holds the rest.
        seed: Seed of the run.
        epoch: Number of the epoch.
        start: Batches to skip at the beginning (the position of a resumed run).
        overlap: Share of the batch size that each batch takes from every other batch, in [0, 1).
    """

    batch_size: BatchSize
    seed: int
    epoch: int
    start: int = 0
    overlap: float = 0.0


def samples_in(batch: Any) -> int:
    """Return the number of samples of a batch: dimension 0 of its first tensor.

    Args:
        batch: A tensor, or a tuple, list or dictionary of tensors.

    Raises:
        ValueError: If it has no tensor with a dimension.
    """
    if isinstance(batch, Tensor) and batch.dim():
        return batch.shape[0]
    for tensor in tensors_of(batch)[:1]:
        if tensor.dim():
            return tensor.shape[0]
    raise ValueError(
        f"batch: found {type(batch).__name__} without a tensor that has samples as its dimension "
        "0, allowed: a tensor, a tuple or a dictionary of tensors"
    )


def as_type(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a floating-point tensor in another type; integers and booleans are unchanged."""
    if tensor.is_complex():
        return tensor.to(dtype.to_complex())
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def delivered(batch: Any, device: torch.device, dtype: torch.dtype | None) -> Any:
    """Return a batch on a device, floating-point tensors in a type, anything else unchanged.

    A list, which torch's loaders make from a tuple, becomes a tuple again.
    """

    def deliver(tensor: Tensor) -> Tensor:
        tensor = tensor.to(device)
        return tensor if dtype is None else as_type(tensor, dtype)

    batch = mapped(deliver, batch)
    return tuple(batch) if isinstance(batch, list) else batch


class SampleSet(ABC):
    """Samples on the device of a run, read batch by batch.

    A batch is a tensor, or a tuple or dictionary of tensors, with the samples in dimension 0.
    """

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of samples."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where the batches are."""

    @abstractmethod
    def to(self, device: torch.device | str, dtype: torch.dtype) -> "SampleSet":
        """Return the same samples on a device, floating-point tensors in that type."""

    @abstractmethod
    def batches(self, batch_size: int = EVALUATION_BATCH) -> Iterator[Any]:
        """Return an iterator over all samples, in their order, for evaluation.

        Args:
            batch_size: Samples per batch; a set with batches of its own uses those.
        """

    def all(self) -> Any:
        """Return all samples as one batch; a set that is not in memory is read for it."""
        return joined(list(self.batches()))

    def first(self, count: int) -> Any:
        """Return the first ``count`` samples as a batch, or fewer if there are fewer."""
        batch = next(self.batches(count))
        size = samples_in(batch)
        return mapped(lambda t: t[:count] if t.dim() and t.shape[0] == size else t, batch)

    def check(self, batch_size: BatchSize, overlap: float = 0.0) -> int:
        """Return how many batches of this size an epoch has, including a smaller last one.

        Raises:
            ValueError: If the set cannot be trained on in such batches.
        """
        return count_of(len(self), batch_size, overlap)

    def epoch(self, order: EpochOrder) -> Iterator[Any]:
        """Return an iterator over batches for training, a pure function of the order.

        Raises:
            ValueError: If the order does not fit this set.
        """
        count = self.check(order.batch_size, order.overlap)
        if not 0 <= order.start <= count:
            raise ValueError(f"start must lie between 0 and {count} batches, got {order.start}")
        return self._epoch(order)

    @abstractmethod
    def _epoch(self, order: EpochOrder) -> Iterator[Any]:
        """Return an iterator over the batches of a checked order."""

    @abstractmethod
    def fingerprint(self) -> tuple[str, bool]:
        """Return a digest, and whether it covers all that the set contains."""


def batch_count(n: int, batch_size: BatchSize) -> int:
    """Return the number of batches in an epoch, including a smaller last one."""
    if batch_size == "full":
        return min(n, 1)
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    return -(-n // batch_size)


def count_of(n: int, batch_size: BatchSize, overlap: float = 0.0) -> int:
    """Return how many batches ``n`` samples make, including a smaller last one.

    Raises:
        ValueError: If the size is less than 1, or if full batches should overlap.
    """
    if batch_size == "full" and overlap:
        raise ValueError(f"budget.overlap: found {overlap}, allowed: 0 with full batches")
    return batch_count(n, batch_size)


def joined(batches: list[Any]) -> Any:
    """Return batches of one structure as a single batch.

    Raises:
        ValueError: If there is none.
    """
    if not batches:
        raise ValueError("an empty set has no batch")
    if len(batches) == 1:
        return batches[0]
    columns = iter([torch.cat(parts) for parts in zip(*map(tensors_of, batches), strict=True)])
    return mapped(lambda _: next(columns), batches[0])
