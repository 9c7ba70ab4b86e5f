"""Samples of torch's data loaders."""

import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader

from napts.problems.fingerprints import fingerprint
from napts.problems.randomness import OwnRandom, seed_of
from napts.problems.samples import EVALUATION_BATCH, BatchSize, EpochOrder, SampleSet, delivered


class LoaderSamples(SampleSet):
    """Samples that a loader delivers, in its own order and batches.

    In every epoch the loader, with its generators and samplers, is seeded from seed and epoch. A
    resumed run therefore gets the batches that it has not seen yet; those that it has seen are read
    again and skipped. The loader's random numbers are kept apart from those of the training.

    Args:
        loader: A loader with a known batch size and number of batches.
        device: Where the batches go.
        dtype: Type of floating-point tensors; None keeps theirs.
        whole: Whether all samples are needed, as for validation and testing.

    Raises:
        ValueError: If its epochs could not be repeated, or have no known size.
    """

    def __init__(
        self,
        loader: DataLoader[Any],
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
        *,
        whole: bool = False,
    ) -> None:
        self._loader, self._whole = loader, whole
        self._device, self._dtype = torch.device(device), dtype
        size = loader.batch_size or getattr(loader.batch_sampler, "batch_size", None)
        if not isinstance(size, int):
            raise ValueError(f"batch_size: found {size}, allowed: 1, 2, ... for a DataLoader")
        self._batch_size = size
        if loader.persistent_workers:
            raise ValueError(
                "persistent_workers: found True, allowed: False, since workers that persist from "
                "epoch to epoch draw other random numbers after a resumption"
            )
        if whole and _drops_last(loader):
            raise ValueError("drop_last: found True, allowed: False, since every sample counts")
        try:
            self._count = len(loader)
        except TypeError as error:
            raise ValueError(
                f"found a DataLoader over {type(loader.dataset).__name__} without a length, "
                "allowed: data sets with __len__, the number of samples in an epoch"
            ) from error

    def __len__(self) -> int:
        """Return the number of samples in an epoch."""
        loader: Any = self._loader
        try:
            n = len(loader.sampler)
        except TypeError:  # an iterable data set has a sampler without an end
            n = len(loader.dataset)
        return min(n, self._count * self._batch_size) if _drops_last(loader) else n

    @property
    def device(self) -> torch.device:
        """Where the batches are."""
        return self._device

    def to(self, device: torch.device | str, dtype: torch.dtype) -> "LoaderSamples":
        """Return the same samples, to be delivered on a device."""
        return LoaderSamples(self._loader, device, dtype, whole=self._whole)

    def batches(self, batch_size: int = EVALUATION_BATCH) -> Iterator[Any]:
        """Return an iterator over the loader's own batches, the same every time."""
        return self._deliver(seed_of("evaluation"), 0, 0)

    def check(self, batch_size: BatchSize, overlap: float = 0.0) -> int:
        """Return how many batches an epoch has.

        Raises:
            ValueError: If the loader makes batches of another size, or if they should overlap.
        """
        if batch_size != self._batch_size:
            raise ValueError(
                f"budget.batch_size: found {batch_size}, allowed: {self._batch_size}, that of the "
                "DataLoader"
            )
        if overlap:
            raise ValueError(f"budget.overlap: found {overlap}, allowed: 0 with a DataLoader")
        return self._count

    def _epoch(self, order: EpochOrder) -> Iterator[Any]:
        seed = seed_of("loader", order.seed, order.epoch)
        return self._deliver(seed, order.epoch, order.start)

    def fingerprint(self) -> tuple[str, bool]:
        """Return a digest of the data set's type, length and contents in memory."""
        return fingerprint(self._loader.dataset)

    def _deliver(self, seed: int, epoch: int, start: int) -> Iterator[Any]:
        random = OwnRandom(seed)
        with random:
            self._prepare(seed, epoch)
            iterator = iter(self._loader)
        for step in itertools.count():
            with random:
                try:
                    batch = next(iterator)
                except StopIteration:
                    return
            if step >= start:
                yield delivered(batch, self._device, self._dtype)

    def _prepare(self, seed: int, epoch: int) -> None:
        """Set the generators of the loader's order to the beginning of an epoch."""
        loader: Any = self._loader
        for part in (loader, loader.sampler, loader.batch_sampler, *_inner(loader.batch_sampler)):
            if isinstance(getattr(part, "generator", None), torch.Generator):
                part.generator.manual_seed(seed)
            if callable(getattr(part, "set_epoch", None)):
                part.set_epoch(epoch)


def _drops_last(loader: Any) -> bool:
    return bool(loader.drop_last or getattr(loader.batch_sampler, "drop_last", False))


def _inner(batch_sampler: Any) -> list[Any]:
    inner = getattr(batch_sampler, "sampler", None)
    return [] if inner is None else [inner]
