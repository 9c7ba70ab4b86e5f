"""Subdomains: how the parameters of a network are divided, and what each part keeps."""

import warnings
from typing import Any

from napts.decomposition.cuts import PartitionError
from napts.decomposition.layer_sets import LayerSubsets, Split, split_layers
from napts.decomposition.partition import partition_layers
from napts.decomposition.stage import Stage
from napts.decomposition.stages import LayerPartition
from napts.decomposition.subsets import Deal, ParameterSubsets, deal_parameters

__all__ = [
    "Deal",
    "LayerPartition",
    "LayerSubsets",
    "ParameterSubsets",
    "PartitionError",
    "Split",
    "Stage",
    "deal_parameters",
    "partition_layers",
    "split_layers",
]


def __getattr__(name: str) -> Any:
    if name != "TensorSets":
        raise AttributeError(f"module 'napts.decomposition' has no attribute {name!r}")
    warnings.warn("TensorSets is called ParameterSubsets now", DeprecationWarning, stacklevel=2)
    return ParameterSubsets
