"""The methods. Imports only torch; knows nothing of data sets, files or clusters.

Start reading with :mod:`napts.optim.algorithm`, which holds the one iteration, then
:mod:`napts.optim.methods`, where each method is composed, and :mod:`napts.optim.options`, where
their options are defined.
"""

from napts.optim import private_names as _private_names  # noqa: F401, it checks them first
from napts.optim.baseline import Baseline
from napts.optim.batch import Batch, SplitBatch
from napts.optim.dog import DoG
from napts.optim.methods import (
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
    RMTR,
    SARAH,
    SSN,
    STTR,
    SVRG,
    TR,
    TTR,
    AdamLBFGS,
    MomentumLBFGS,
    SSBroyden,
    TRNewton,
)
from napts.optim.option import Option
from napts.optim.presets import PRESETS, preset
from napts.optim.record import StepRecord, Trial

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
    "DoG",
    "MomentumLBFGS",
    "Option",
    "SSBroyden",
    "SplitBatch",
    "StepRecord",
    "TRNewton",
    "Trial",
    "preset",
]
