"""Named problems: data, network, loss, metrics and defaults, and the order of the batches."""

import warnings
from importlib import import_module
from typing import Any

from napts.problems.batches import batches, epoch_permutation
from napts.problems.data_root import DataInvalid, DataMissing, resolve_data_root
from napts.problems.evaluation import Evaluation, evaluation_mode
from napts.problems.holdout import SplitOptions
from napts.problems.memory import TensorSamples
from napts.problems.prepare import PreparedData, prepare
from napts.problems.problem import Problem, ProblemOptions
from napts.problems.registry import (
    get_problem,
    options_model,
    problem_class,
    problem_names,
    register_problem,
)
from napts.problems.samples import BatchSize, EpochOrder, SampleSet, batch_count, samples_in
from napts.problems.splits import DataSplits
from napts.problems.supervised import Classification, Regression, Supervised

BUILT_IN = (
    *("digits", "images", "synthetic", "diabetes", "text", "poisson", "cancer"),
    *("pde", "libsvm_logistic", "residual"),
)
"""Modules whose import registers the package's own problems."""

for _module in BUILT_IN:
    import_module(f"napts.problems.{_module}")

__all__ = [
    "BatchSize",
    "Classification",
    "DataInvalid",
    "DataMissing",
    "DataSplits",
    "EpochOrder",
    "Evaluation",
    "PreparedData",
    "Problem",
    "ProblemOptions",
    "Regression",
    "SampleSet",
    "Supervised",
    "TensorSamples",
    "batch_count",
    "batches",
    "epoch_permutation",
    "evaluation_mode",
    "get_problem",
    "options_model",
    "prepare",
    "problem_class",
    "problem_names",
    "register_problem",
    "resolve_data_root",
    "samples_in",
]


def _tensor_set(inputs: Any, targets: Any, prepare: Any = None) -> TensorSamples:
    return TensorSamples((inputs, targets), prepare=prepare)


_FORMER = {
    "Workload": ("Problem", Problem),
    "WorkloadOptions": ("holdout.SplitOptions", SplitOptions),
    "TensorSet": ("TensorSamples", _tensor_set),
    "get_workload": ("get_problem", get_problem),
    "workload_names": ("problem_names", problem_names),
}
"""Former names, what they are called now, and what they give."""


def __getattr__(name: str) -> Any:
    if name not in _FORMER:
        raise AttributeError(f"module 'napts.problems' has no attribute {name!r}")
    now, value = _FORMER[name]
    message = f"napts.problems.{name} is now called napts.problems.{now}"
    warnings.warn(message, DeprecationWarning, stacklevel=2)
    return value
