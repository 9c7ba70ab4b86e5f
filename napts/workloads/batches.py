"""The order in which samples are visited: a pure function of the seed and the epoch."""

import hashlib
from collections.abc import Iterator

import torch
from torch import Tensor

from napts.workloads.tensors import TensorSet


def epoch_permutation(seed: int, epoch: int, n: int) -> Tensor:
    """Return the order of ``n`` samples in one epoch.

    The order depends on nothing else, so all methods with a seed share it and a resumed run finds
    it again without stored state.

    Args:
        seed: Seed of the run.
        epoch: Number of the epoch.
        n: Number of samples.

    Returns:
        ``(n,)`` int64 permutation of ``0..n-1`` on the CPU.
    """
    # A hash, because seed + epoch would give seed 0's second epoch to seed 1 as its first.
    key = hashlib.sha256(f"epoch order {seed} {epoch}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(key[:4], "big"))
    return torch.randperm(n, generator=generator)


def batch_count(n: int, batch_size: int) -> int:
    """Return the number of batches of an epoch, the smaller last one included."""
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    return -(-n // batch_size)


def batches(
    tensors: TensorSet, batch_size: int, seed: int, epoch: int, *, start: int = 0
) -> Iterator[tuple[Tensor, Tensor]]:
    """Return an iterator over the prepared batches of one epoch, in that epoch's order.

    Args:
        tensors: Samples on their device.
        batch_size: Samples per batch, at least 1; the last batch holds what is left.
        seed: Seed of the run.
        epoch: Number of the epoch.
        start: Batches to skip at the beginning (the position of a resumed run).

    Returns:
        Iterator over ``(inputs, targets)``.

    Raises:
        ValueError: If ``batch_size`` or ``start`` is out of range.
    """
    n = len(tensors)
    count = batch_count(n, batch_size)
    if not 0 <= start <= count:
        raise ValueError(f"start must lie between 0 and {count} batches, got {start}")
    order = epoch_permutation(seed, epoch, n).to(tensors.device)
    chunks = order.split(batch_size) if n else ()
    return (tensors.batch(chunk) for chunk in chunks[start:])
