"""Scaling of the columns of a table of numbers, dense or sparse."""

from typing import Literal

import torch
from torch import Tensor

Scale = Literal["none", "maxabs", "minmax", "standard"]
"""``"maxabs"`` divides each column by its largest magnitude and keeps zeros. ``"minmax"`` scales it
to [-1, 1], ``"standard"`` to mean 0 and standard deviation 1; both fill in zeros."""


def scaled(inputs: Tensor, scale: Scale) -> Tensor:
    """Return a matrix with scaled columns; a constant column becomes zero, or stays for "maxabs".

    Args:
        inputs: ``(p, n)``, strided or in the layout ``sparse_csr``.
        scale: How.

    Returns:
        A matrix in the same layout for "none" and "maxabs", otherwise a strided one.
    """
    if scale == "none":
        return inputs
    if scale == "maxabs":
        return _by_largest(inputs)
    inputs = inputs.to_dense()
    if scale == "standard":
        return (inputs - inputs.mean(0)) / _divisor(inputs.std(0, correction=0))
    low, high = inputs.amin(0), inputs.amax(0)
    return torch.where(high > low, 2.0 * (inputs - low) / _divisor(high - low) - 1.0, 0.0)


def _by_largest(inputs: Tensor) -> Tensor:
    if inputs.layout is not torch.sparse_csr:
        return inputs / _divisor(inputs.abs().amax(0))
    columns, values = inputs.col_indices(), inputs.values()
    largest = values.new_zeros(inputs.shape[1])
    largest.scatter_reduce_(0, columns.long(), values.abs(), "amax")
    values = values / _divisor(largest).index_select(0, columns)
    return torch.sparse_csr_tensor(
        inputs.crow_indices(), columns, values, inputs.shape, check_invariants=False
    )


def _divisor(sizes: Tensor) -> Tensor:
    return torch.where(sizes > 0.0, sizes, 1.0)
