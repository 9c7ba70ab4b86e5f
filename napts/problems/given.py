"""The forms in which a problem may give its data."""

from typing import Any

import numpy
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from napts.problems.datasets import DatasetSamples
from napts.problems.loaders import LoaderSamples
from napts.problems.memory import TensorSamples
from napts.problems.samples import SampleSet

FORMS = (
    "a tensor or NumPy array, a tuple or dictionary of these, a torch Dataset, a DataLoader or a "
    "SampleSet"
)


def as_samples(data: Any, part: str) -> SampleSet:
    """Return given samples as a set.

    Args:
        data: One of `FORMS`.
        part: What the samples are for, in messages.

    Raises:
        ValueError: If the data are anything else.
    """
    if isinstance(data, SampleSet):
        return data
    try:
        if isinstance(data, DataLoader):
            return LoaderSamples(data, whole=part != "training")
        if isinstance(data, Dataset):
            return _of_dataset(data)
        return TensorSamples(_in_memory(data))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{part} samples: {error}") from error


def _of_dataset(dataset: Any) -> SampleSet:
    if isinstance(dataset, IterableDataset):
        raise ValueError(
            f"found {type(dataset).__name__}, an IterableDataset, allowed: a DataLoader over it"
        )
    if not hasattr(dataset, "__len__"):
        raise ValueError(f"found {type(dataset).__name__} without __len__, allowed: {FORMS}")
    return _resident(dataset) or DatasetSamples(dataset)


def _resident(dataset: Any) -> TensorSamples | None:
    """Return the samples of a data set that consists only of tensors."""
    if type(dataset) is TensorDataset:
        return TensorSamples(dataset.tensors)
    if type(dataset) is Subset and (whole := _resident(dataset.dataset)) is not None:
        return whole.take(torch.as_tensor(dataset.indices, dtype=torch.int64))
    return None


def _in_memory(data: Any) -> Any:
    """Return the same structure of tensors that share memory with the arrays."""
    if isinstance(data, Tensor):
        return data.detach()
    if isinstance(data, numpy.ndarray):
        if data.dtype.kind not in "biufc":
            raise ValueError(f"found an array of {data.dtype}, allowed: numbers")
        return torch.from_numpy(data if data.flags.writeable else data.copy())
    if isinstance(data, dict):
        return {name: _in_memory(value) for name, value in data.items()}
    if isinstance(data, tuple | list) and data:
        return tuple(_in_memory(value) for value in data)
    raise ValueError(f"found {type(data).__name__}, allowed: {FORMS}")
