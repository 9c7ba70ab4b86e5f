"""The order in which samples are visited: a pure function of the seed and the epoch."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from napts.problems.randomness import seed_of
from napts.problems.samples import EpochOrder, SampleSet


def epoch_permutation(seed: int, epoch: int, n: int) -> Tensor:
    """Return the order of ``n`` samples in one epoch.

    The order depends on nothing else, so all methods share it for a given seed, and a resumed run
    finds it again without stored state.

    Args:
        seed: Seed of the run.
        epoch: Number of the epoch.
        n: Number of samples.

    Returns:
        ``(n,)`` int64 permutation of ``0..n-1`` on the CPU.
    """
    return torch.randperm(n, generator=_generator("epoch order", seed, epoch))


def batches(
    samples: SampleSet,
    batch_size: int | Literal["full"],
    seed: int,
    epoch: int,
    *,
    start: int = 0,
    overlap: float = 0.0,
) -> Iterator[Any]:
    """Return an iterator over the prepared batches of one epoch, in that epoch's order.

    Args:
        samples: Samples on their device.
        batch_size: Samples per batch, at least 1; the last batch holds the rest. ``"full"`` for the
            whole set in its own order.
        seed: Seed of the run.
        epoch: Number of the epoch.
        start: Batches to skip at the beginning (the position of a resumed run).
        overlap: Share of the batch size that each batch takes from every other batch, in [0, 1);
            see `overlapping`.

    Returns:
        Iterator over batches, for most problems ``(inputs, targets)``.

    Raises:
        ValueError: If ``batch_size``, ``start`` or ``overlap`` is out of range.
    """
    return samples.epoch(EpochOrder(batch_size, seed, epoch, start, overlap))


def epoch_chunks(n: int, order: EpochOrder) -> list[Tensor]:
    """Return the positions of the samples in each batch of an epoch, from its first one on.

    Args:
        n: Number of samples.
        order: Which epoch, and the size of its batches.
    """
    assert order.batch_size != "full"
    permutation = epoch_permutation(order.seed, order.epoch, n)
    chunks = list(permutation.split(order.batch_size)) if n else []
    return overlapping(chunks, int(order.overlap * order.batch_size), order.seed, order.epoch)


def overlapping(chunks: Sequence[Tensor], shared: int, seed: int, epoch: int) -> list[Tensor]:
    """Let every batch share samples with every other one, as in SAPTS.

    20 batches of 2,500 with ``shared = 25`` (1 %) become 20 batches of 2,500 + 19 * 25 = 2,975
    (APTS in weights, arXiv 2312.13677, section 3.3, and its authors' code).

    Args:
        chunks: Indices of each batch's own samples.
        shared: How many random samples of each other batch are added; all of a smaller batch.
        seed: Seed of the run.
        epoch: Number of the epoch; the shared samples are drawn anew in every epoch.

    Returns:
        Each batch's own samples, followed by those from the other batches in their order.

    Raises:
        ValueError: If ``shared`` is negative, or as large as the largest batch.
    """
    largest = max((len(chunk) for chunk in chunks), default=1)
    if not 0 <= shared < max(largest, 1):
        raise ValueError(f"overlap must be at least 0 and less than 1, got {shared} of {largest}")
    if shared == 0:
        return list(chunks)
    generator = _generator("overlap", seed, epoch)

    def some_of(chunk: Tensor) -> Tensor:
        return chunk[torch.randperm(len(chunk), generator=generator)[:shared]]

    return [
        torch.cat([own, *(some_of(other) for other in chunks if other is not own)])
        for own in chunks
    ]


def _generator(purpose: str, seed: int, epoch: int) -> torch.Generator:
    """Return a separate generator for one purpose, seed and epoch."""
    return torch.Generator().manual_seed(seed_of(purpose, seed, epoch))
