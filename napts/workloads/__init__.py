"""Named problems: data, network, loss and defaults, and the order of the batches."""

from napts.workloads.batches import batch_count, batches, epoch_permutation
from napts.workloads.data_root import DataInvalid, DataMissing, resolve_data_root
from napts.workloads.prepare import PreparedData, prepare
from napts.workloads.registry import get_workload, options_model, workload_names
from napts.workloads.tensors import DataSplits, TensorSet
from napts.workloads.workload import Evaluation, Workload, WorkloadOptions

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
