"""The forms in which a problem may give its data."""

from typing import Any

import numpy
import torch
from torch import Tensor

from napts.problems.samples import SampleSet, TensorSamples

FORMS = (
    "a tensor or NumPy array, a tuple or dictionary of these, a torch Dataset, a DataLoader or a "
    "SampleSet"
)


def as_samples(data: Any, part: str) -> SampleSet:
    """Return given samples as a set.

    Args:
        data: One of `FORMS`.
        part: What they are for, in messages.

    Raises:
        ValueError: If they are something else.
    """
    if isinstance(data, SampleSet):
        return data
    try:
        return TensorSamples(_in_memory(data))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{part} samples: {error}") from error


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
