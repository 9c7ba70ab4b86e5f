"""Trust-region and domain-decomposition training of neural networks.

Optimizers: :class:`TR`, :class:`NTR`, :class:`APTS`, :class:`APTSA`, :class:`NAPTS`; the last
three take the subdomains of :func:`partition_layers`. The harness that compares them is in the
subpackages; importing ``napts`` loads torch and nothing heavier.
"""

from napts._version import __version__
from napts.decomposition import LayerPartition, PartitionError, Stage, partition_layers
from napts.optim import APTS, APTSA, NAPTS, NTR, TR, Baseline, StepRecord

__all__ = [
    "APTS",
    "APTSA",
    "NAPTS",
    "NTR",
    "TR",
    "Baseline",
    "LayerPartition",
    "PartitionError",
    "Stage",
    "StepRecord",
    "__version__",
    "partition_layers",
]
