"""Samples that are rows of a matrix, dense or sparse, each with a label."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from napts.optim.sums.rows import SparseRows, as_rows
from napts.problems.batches import epoch_chunks
from napts.problems.samples import EVALUATION_BATCH, EpochOrder, SampleSet, as_type
from napts.problems.tensors import digest


class RowSamples(SampleSet):
    """Labelled rows in memory; a batch is ``(inputs, labels)``, and the whole is always the same.

    Args:
        inputs: ``(p, n)``, strided or in the layout ``sparse_csr``; batches have the same layout.
        labels: ``(p,)``.
    """

    def __init__(self, inputs: Tensor, labels: Tensor) -> None:
        self.inputs, self.labels = inputs, labels
        self._digest: str | None = None
        self._moved: dict[tuple[torch.device, torch.dtype], RowSamples] = {}

    def __len__(self) -> int:
        """Return the number of samples."""
        return self.labels.shape[0]

    @property
    def device(self) -> torch.device:
        """Where the samples are."""
        return self.labels.device

    def to(self, device: torch.device | str, dtype: torch.dtype) -> "RowSamples":
        """Return the same samples on a device in a type: the same object at every call."""
        key = torch.device(device), dtype
        if key == (self.device, self.inputs.dtype):
            return self
        if key not in self._moved:
            moved = (as_type(tensor.to(device), dtype) for tensor in (self.inputs, self.labels))
            self._moved[key] = RowSamples(*moved)
        return self._moved[key]

    def batch(self, which: slice | Tensor) -> tuple[Tensor, Tensor]:
        """Return some samples.

        Args:
            which: Slice, or int64 positions on the device of the set.
        """
        rows = as_rows(self.inputs).take(which)
        return rows.matrix, self.labels[which]

    def all(self) -> tuple[Tensor, Tensor]:
        """Return all samples as one batch: the tensors themselves."""
        return self.inputs, self.labels

    def first(self, count: int) -> tuple[Tensor, Tensor]:
        """Return the first ``count`` samples as a batch."""
        return self.batch(slice(0, count))

    def batches(self, batch_size: int = EVALUATION_BATCH) -> Iterator[tuple[Tensor, Tensor]]:
        """Return an iterator over one batch of all samples: products are fastest in one piece."""
        return iter([self.all()])

    def _epoch(self, order: EpochOrder) -> Iterator[Any]:
        if order.batch_size == "full":
            return (self.all() for _ in range(order.start, 1))
        chunks = epoch_chunks(len(self), order)[order.start :]
        return (self.batch(chunk.to(self.device)) for chunk in chunks)

    def fingerprint(self) -> tuple[str, bool]:
        """Return the digest of inputs and labels."""
        if self._digest is None:
            self._digest = digest([*_stored(self.inputs), self.labels])
        return self._digest, True


def _stored(matrix: Tensor) -> list[Tensor]:
    if matrix.layout is not torch.sparse_csr:
        return [matrix]
    matrix = SparseRows(matrix).matrix  # with indices of one length
    return [matrix.crow_indices(), matrix.col_indices(), matrix.values()]
