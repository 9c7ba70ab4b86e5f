"""Digests of data sets, as far as these are in memory."""

import hashlib
from typing import Any

import numpy
import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, Dataset, Subset, TensorDataset

from napts.problems.tensors import DIGEST_LENGTH, digest

_LARGEST_HASHED = 2**31
"""Size of an array in bytes above which only its shape counts."""


def fingerprint(dataset: Any) -> tuple[str, bool]:
    """Return a digest of a data set, and whether it covers everything in it.

    It covers the type, the length, and the tensors, arrays and lists of numbers among the
    attributes, but not files or what a function computes.

    Args:
        dataset: The data set.
    """
    state = hashlib.sha256()
    complete = _describe(dataset, state)
    return state.hexdigest()[:DIGEST_LENGTH], complete


def _describe(dataset: Any, state: Any) -> bool:
    if type(dataset) is Subset:
        state.update(digest([torch.as_tensor(dataset.indices)]).encode())
        return _describe(dataset.dataset, state)
    if type(dataset) is ConcatDataset:
        return all([_describe(part, state) for part in dataset.datasets])
    if type(dataset) is TensorDataset:
        state.update(digest(dataset.tensors).encode())
        return True
    size = len(dataset)
    state.update(f"{type(dataset).__name__} {size}".encode())
    for name, value in sorted(getattr(dataset, "__dict__", {}).items()):
        if (array := _array(value, size)) is not None:
            state.update(f"{name} {digest([array])}".encode())
        elif isinstance(value, Dataset):
            _describe(value, state)
    return False


def _array(value: Any, size: int) -> Tensor | None:
    """Return an attribute's numbers, if it has any and reading them is cheap."""
    if isinstance(value, list | tuple) and len(value) == size and size:
        if not isinstance(value[0], int | float):
            return None
        value = numpy.asarray(value)
    if isinstance(value, numpy.ndarray) and not isinstance(value, numpy.memmap):
        if value.dtype.kind not in "biuf" or value.nbytes > _LARGEST_HASHED:
            return None
        return torch.from_numpy(value.copy())
    if isinstance(value, Tensor) and value.numel() * value.element_size() <= _LARGEST_HASHED:
        return value
    return None
