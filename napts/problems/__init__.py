"""Named problems: data, network, loss, metrics and defaults, and the order of the batches."""

from importlib import import_module

from napts.problems.batches import batch_count, batches, epoch_permutation
from napts.problems.data_root import DataInvalid, DataMissing, resolve_data_root
from napts.problems.evaluation import Evaluation, evaluation_mode
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
from napts.problems.samples import BatchSize, SampleSet, samples_in
from napts.problems.splits import DataSplits
from napts.problems.supervised import Classification, Regression, Supervised

BUILT_IN = ("digits", "images", "synthetic", "diabetes", "text", "poisson", "cancer")
"""Modules whose import registers the package's own problems."""

for _module in BUILT_IN:
    import_module(f"napts.problems.{_module}")

Workload = Problem
get_workload = get_problem
workload_names = problem_names

__all__ = [
    "BatchSize",
    "Classification",
    "DataInvalid",
    "DataMissing",
    "DataSplits",
    "Evaluation",
    "PreparedData",
    "Problem",
    "ProblemOptions",
    "Regression",
    "SampleSet",
    "Supervised",
    "TensorSamples",
    "Workload",
    "batch_count",
    "batches",
    "epoch_permutation",
    "evaluation_mode",
    "get_problem",
    "get_workload",
    "options_model",
    "prepare",
    "problem_class",
    "problem_names",
    "register_problem",
    "resolve_data_root",
    "samples_in",
    "workload_names",
]
