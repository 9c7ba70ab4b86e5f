"""Subdomains: how a network's parameters are divided, and what each part keeps."""

import warnings
from typing import Any

from napts.decomposition.cuts import PartitionError
from napts.decomposition.hierarchy import ResidualHierarchy, residual_hierarchy
from napts.decomposition.layer_sets import LayerSubsets, Split, split_layers
from napts.decomposition.partition import partition_layers
from napts.decomposition.residual import ResidualStage, residual_network, squares_in_time
from napts.decomposition.stage import Stage
from napts.decomposition.stages import LayerPartition
from napts.decomposition.subsets import Deal, ParameterSubsets, deal_parameters

__all__ = [
    "Deal",
    "LayerPartition",
    "LayerSubsets",
    "ParameterSubsets",
    "PartitionError",
    "ResidualHierarchy",
    "ResidualStage",
    "Split",
    "Stage",
    "deal_parameters",
    "partition_layers",
    "residual_hierarchy",
    "residual_network",
    "split_layers",
    "squares_in_time",
]


def __getattr__(name: str) -> Any:
    if name != "TensorSets":
        raise AttributeError(f"module 'napts.decomposition' has no attribute {name!r}")
    warnings.warn("TensorSets is now called ParameterSubsets", DeprecationWarning, stacklevel=2)
    return ParameterSubsets
