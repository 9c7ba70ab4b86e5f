"""Options of the quasi-Newton methods; each is defined here and nowhere else."""

from typing import Annotated, Literal, TypedDict

from napts.optim.option import Option

LocalMemory = Literal["restart", "keep"]


class LineSearchOptions(TypedDict, total=False):
    """Options of methods that search along a line."""

    search_evaluations: Annotated[
        int,
        Option(
            25,
            "Largest number of evaluations of a line search after its first one, as in "
            ":class:`torch.optim.LBFGS`.",
            within="[1, 1000000]",
        ),
    ]


class QuasiNewtonOptions(LineSearchOptions, TypedDict, total=False):
    """Options of the limited-memory step."""

    pairs: Annotated[
        int,
        Option(
            3,
            "Pairs of steps and changes of the gradient that are remembered. 3 on the slides.",
            within="[1, 1000000]",
        ),
    ]
    momentum: Annotated[
        float,
        Option(
            0.9,
            "``mu`` in ``v <- (1 - mu) v + mu p``; 1 is no momentum. 0.9 in the authors' code.",
            within="(0, 1]",
        ),
    ]


class LocalPhaseOptions(TypedDict, total=False):
    """Options of the local phase."""

    local_steps: Annotated[
        int,
        Option(
            10,
            "L-BFGS steps ``k_s`` of each subdomain. 10 in the authors' code; the slides' number "
            "is lost. 0 leaves the local phase out.",
            within="[0, 1000000]",
        ),
    ]
    local_pairs: Annotated[
        int,
        Option(
            3,
            "Pairs that local L-BFGS remembers. 3 on the slides, 10 in the authors' code.",
            within="[1, 1000000]",
        ),
    ]
    local_memory: Annotated[
        LocalMemory,
        Option(
            "restart",
            'Whether local pairs start anew in every iteration (our choice) or ``"keep"`` those of '
            "the last one, although the other layers have moved (the authors' code).",
        ),
    ]
    coarse_steps: Annotated[
        int,
        Option(
            0,
            "L-BFGS steps on the first layers of all subdomains together, before the local phase; "
            "5 in the authors' code for two levels (arXiv 2406.10997).",
            within="[0, 1000000]",
        ),
    ]
