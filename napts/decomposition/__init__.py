"""Subdomains: how the parameters of a network are divided, and what each part keeps."""

from napts.decomposition.cuts import PartitionError
from napts.decomposition.partition import partition_layers
from napts.decomposition.stage import Stage
from napts.decomposition.stages import LayerPartition
from napts.decomposition.tensors import Deal, TensorSets, deal_parameters

__all__ = [
    "Deal",
    "LayerPartition",
    "PartitionError",
    "Stage",
    "TensorSets",
    "deal_parameters",
    "partition_layers",
]
