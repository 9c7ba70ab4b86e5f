"""Named problems: data, network, loss and defaults, and the order of the batches."""

from napts.problems.batches import batch_count, batches, epoch_permutation
from napts.problems.data_root import DataInvalid, DataMissing, resolve_data_root
from napts.problems.prepare import PreparedData, prepare
from napts.problems.problem import Evaluation, Workload, WorkloadOptions
from napts.problems.registry import get_workload, options_model, workload_names
from napts.problems.tensors import DataSplits, TensorSet

__all__ = [
    "DataInvalid",
    "DataMissing",
    "DataSplits",
    "Evaluation",
    "PreparedData",
    "TensorSet",
    "Workload",
    "WorkloadOptions",
    "batch_count",
    "batches",
    "epoch_permutation",
    "get_workload",
    "options_model",
    "prepare",
    "resolve_data_root",
    "workload_names",
]
