"""Subdomains: how the parameters of a network are divided, and what each part keeps."""

from napts.decomposition.cuts import PartitionError
from napts.decomposition.partition import partition_layers
from napts.decomposition.stages import LayerPartition, Stage

__all__ = ["LayerPartition", "PartitionError", "Stage", "partition_layers"]
