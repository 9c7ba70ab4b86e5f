"""Samples of torch's map-style data sets."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import Dataset
from torch.utils.data import default_collate as torch_collate

from napts.problems.batches import epoch_chunks
from napts.problems.fingerprints import fingerprint
from napts.problems.randomness import OwnRandom, seed_of
from napts.problems.samples import (
    EVALUATION_BATCH,
    EpochOrder,
    SampleSet,
    delivered,
)


class DatasetSamples(SampleSet):
    """Samples of a map-style data set, read one by one when needed.

    The order of the batches is the same as for samples in memory. Anything random in the data set
    (a transform of torch, torchvision, NumPy or Python's `random`) is a function of seed, epoch and
    step, and does not affect the random numbers of the training.

    Args:
        dataset: Anything with ``__len__`` and ``__getitem__``, or ``__getitems__``; its
            ``collate_fn``, if it has one, makes a batch from a list of samples.
        device: Where the batches go.
        dtype: Type of floating-point tensors; None keeps theirs.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
    ) -> None:
        self._dataset: Any = dataset
        self._device, self._dtype = torch.device(device), dtype
        self._collate = getattr(dataset, "collate_fn", None) or torch_collate

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self._dataset)

    @property
    def device(self) -> torch.device:
        """Where the batches are."""
        return self._device

    def to(self, device: torch.device | str, dtype: torch.dtype) -> "DatasetSamples":
        """Return the same samples, to be delivered on a device."""
        return DatasetSamples(self._dataset, device, dtype)

    def batches(self, batch_size: int = EVALUATION_BATCH) -> Iterator[Any]:
        """Return an iterator over all samples, in their order."""
        starts = range(0, len(self), batch_size)
        return (
            self._read(range(a, min(a + batch_size, len(self))), seed_of("evaluation", a))
            for a in starts
        )

    def _epoch(self, order: EpochOrder) -> Iterator[Any]:
        chunks: list[Sequence[int]] = [range(len(self))]
        if order.batch_size != "full":
            chunks = [chunk.tolist() for chunk in epoch_chunks(len(self), order)]
        return (
            self._read(chunks[step], seed_of("samples", order.seed, order.epoch, step))
            for step in range(order.start, len(chunks))
        )

    def fingerprint(self) -> tuple[str, bool]:
        """Return a digest of the data set's type, length and contents in memory."""
        return fingerprint(self._dataset)

    def _read(self, positions: Sequence[int], seed: int) -> Any:
        with OwnRandom(seed):
            if hasattr(self._dataset, "__getitems__"):
                samples = self._dataset.__getitems__(list(positions))
            else:
                samples = [self._dataset[position] for position in positions]
            return delivered(self._collate(samples), self._device, self._dtype)
