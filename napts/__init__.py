"""Trust-region and domain-decomposition training of neural networks.

Optimizers: :class:`TR`, :class:`NTR`, :class:`APTS`, :class:`APTSA`, :class:`NAPTS`. The last
three take the subdomains of :func:`partition_layers`, or a :class:`Pipeline` on several ranks;
:class:`APTSW` takes those of :func:`deal_parameters`, and :class:`APTSD` splits batches. The
harness that compares them is in the subpackages. Names are loaded on first use; that loads torch
and nothing heavier. The command line starts without torch.
"""

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

from napts._version import __version__

if TYPE_CHECKING:
    from napts.decomposition import (
        LayerPartition,
        LayerSubsets,
        ParameterSubsets,
        PartitionError,
        ResidualStage,
        Stage,
        deal_parameters,
        partition_layers,
        residual_hierarchy,
        residual_network,
        split_layers,
    )
    from napts.experiment.methods.registry import register_method
    from napts.harness import run, sweep
    from napts.optim import (
        APTS,
        APTSA,
        APTSD,
        APTSW,
        ASPQN,
        ASTROM,
        MLVR,
        MSPQN,
        NAPTS,
        NTR,
        PRESETS,
        RMTR,
        SARAH,
        SSN,
        STTR,
        SVRG,
        TR,
        TTR,
        AdamLBFGS,
        Baseline,
        Batch,
        DoG,
        MomentumLBFGS,
        Option,
        SplitBatch,
        SSBroyden,
        StepRecord,
        TRNewton,
        preset,
    )
    from napts.parallel.pipeline import Pipeline
    from napts.parallel.ranks import join_ranks
    from napts.problems import Classification, Problem, Regression, Supervised, register_problem

_HOMES = {
    "napts.optim": (
        *("APTS", "APTSA", "APTSD", "APTSW", "NAPTS", "NTR", "PRESETS", "STTR", "TR", "TTR"),
        *("ASTROM", "MLVR", "RMTR", "SARAH", "SSN", "SVRG", "TRNewton"),
        *("ASPQN", "MSPQN", "AdamLBFGS", "MomentumLBFGS", "SSBroyden"),
        *("Baseline", "Batch", "DoG", "Option", "SplitBatch", "StepRecord", "preset"),
    ),
    "napts.decomposition": (
        *("LayerPartition", "LayerSubsets", "ParameterSubsets", "PartitionError", "Stage"),
        *("deal_parameters", "partition_layers", "split_layers"),
        *("ResidualStage", "residual_hierarchy", "residual_network"),
    ),
    "napts.experiment.methods.registry": ("register_method",),
    "napts.harness": ("run", "sweep"),
    "napts.parallel.pipeline": ("Pipeline",),
    "napts.parallel.ranks": ("join_ranks",),
    "napts.problems": (
        *("Classification", "Problem", "Regression", "Supervised"),
        "register_problem",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
_FORMER = {"TensorSets": "ParameterSubsets"}

__all__ = [
    "APTS",
    "APTSA",
    "APTSD",
    "APTSW",
    "ASPQN",
    "ASTROM",
    "MLVR",
    "MSPQN",
    "NAPTS",
    "NTR",
    "PRESETS",
    "RMTR",
    "SARAH",
    "SSN",
    "STTR",
    "SVRG",
    "TR",
    "TTR",
    "AdamLBFGS",
    "Baseline",
    "Batch",
    "Classification",
    "DoG",
    "LayerPartition",
    "LayerSubsets",
    "MomentumLBFGS",
    "Option",
    "ParameterSubsets",
    "PartitionError",
    "Pipeline",
    "Problem",
    "Regression",
    "ResidualStage",
    "SSBroyden",
    "SplitBatch",
    "Stage",
    "StepRecord",
    "Supervised",
    "TRNewton",
    "__version__",
    "deal_parameters",
    "join_ranks",
    "partition_layers",
    "preset",
    "register_method",
    "register_problem",
    "residual_hierarchy",
    "residual_network",
    "run",
    "split_layers",
    "sweep",
]


def __getattr__(name: str) -> Any:
    if name in _FORMER:
        now = _FORMER[name]
        warnings.warn(f"napts.{name} is now called napts.{now}", DeprecationWarning, stacklevel=2)
        return __getattr__(now)
    if name not in _HOME_OF:
        raise AttributeError(f"module 'napts' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME_OF[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
