"""The methods that ship with the package: ours, and torch's with the options we compare with."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal, TypedDict, Unpack

import torch

from napts.experiment.methods.method import Capabilities
from napts.experiment.methods.registry import register_method
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
    RMTR,
    SARAH,
    SSN,
    STTR,
    SVRG,
    TR,
    TTR,
    AdamLBFGS,
    DoG,
    MomentumLBFGS,
    SSBroyden,
    TRNewton,
)
from napts.optim.option import Option


class AdamOptions(TypedDict, total=False):
    """Options of Adam, with torch's defaults."""

    lr: Annotated[float, Option(1e-3, "Learning rate.", within="(0, inf)")]
    betas: Annotated[
        tuple[float, float],
        Option((0.9, 0.999), "Decay rates of the two moments.", within="[0, 1)"),
    ]
    eps: Annotated[float, Option(1e-8, "Added to the denominator.", within="(0, inf)")]


class SGDOptions(TypedDict, total=False):
    """Options of SGD."""

    lr: Annotated[float, Option(0.1, "Learning rate; 0.1 is our choice.", within="(0, inf)")]
    momentum: Annotated[float, Option(0.9, "Momentum; 0.9 is our choice.", within="[0, 1)")]


class LBFGSOptions(TypedDict, total=False):
    """Options of LBFGS."""

    lr: Annotated[
        float,
        Option(1.0, "Learning rate, the first trial length of the line search.", within="(0, inf)"),
    ]
    history_size: Annotated[
        int, Option(10, "Number of pairs that are remembered.", within="[1, 10000]")
    ]
    max_iter: Annotated[
        int,
        Option(
            1,
            "Iterations on one batch. 1 is our choice: the curvature pairs then come from "
            "successive batches, and a step costs about as much as with the other methods.",
            within="[1, 10000]",
        ),
    ]
    line_search: Annotated[
        Literal["strong_wolfe", "none"], Option("strong_wolfe", "How a length is found.")
    ]
    max_eval: Annotated[
        int | None,
        Option(
            None,
            "Largest number of evaluations on one batch, including those of line searches; "
            "``None`` for torch's 1.25 times ``max_iter``. With one iteration, torch 2.13 leaves "
            "none for the search, so that a step has the length ``lr``; 26 lets it search.",
            within="[1, 1000000]",
            before=None,
        ),
    ]


def adam(params: Iterable[Any], **options: Unpack[AdamOptions]) -> torch.optim.Adam:
    """Make torch's Adam."""
    return torch.optim.Adam(params, **options)


def sgd(params: Iterable[Any], **options: Unpack[SGDOptions]) -> torch.optim.SGD:
    """Make torch's SGD."""
    return torch.optim.SGD(params, **options)


def lbfgs(params: Iterable[Any], **options: Unpack[LBFGSOptions]) -> torch.optim.LBFGS:
    """Make torch's LBFGS from the options of a spec."""
    arguments: dict[str, Any] = dict(options)
    line_search = arguments.pop("line_search")
    arguments["line_search_fn"] = None if line_search == "none" else line_search
    return torch.optim.LBFGS(params, **arguments)


for _optimizer in (
    *(TR, NTR, APTS, APTSA, NAPTS, APTSW, APTSD, TTR, STTR),
    *(TRNewton, ASTROM, MLVR, SSN, SVRG, SARAH),
    RMTR,
    *(ASPQN, MSPQN, MomentumLBFGS, AdamLBFGS, SSBroyden),
):
    register_method(_optimizer.__name__)(_optimizer)
for _name, _function, _class in (
    ("Adam", adam, torch.optim.Adam),
    ("SGD", sgd, torch.optim.SGD),
    ("LBFGS", lbfgs, torch.optim.LBFGS),
):
    register_method(_name, Capabilities.of(_class))(_function)
register_method("DoG")(DoG)
