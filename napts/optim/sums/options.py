"""The options that methods for finite sums share; each is defined here, once."""

from collections.abc import Mapping
from typing import Annotated, Any, TypedDict

from napts.optim.multilevel.armijo import Armijo
from napts.optim.multilevel.conjugate_gradients import ConjugateGradients
from napts.optim.option import Option
from napts.optim.sums.inner_batches import Draw


def _within_bounds(options: Mapping[str, Any]) -> str | None:
    low, radius, high = (options[name] for name in ("radius_min", "radius", "radius_max"))
    return None if low <= radius <= high else f"must lie in [{low}, {high}]"


class SeedOptions(TypedDict, total=False):
    """Options of methods that draw samples."""

    seed: Annotated[
        int | None,
        Option(
            None,
            "Seed of the method's own generator, which draws the samples; ``None`` for torch's "
            "seed at the first draw, so that ``torch.manual_seed``, or the seed of a run, decides.",
            within="[0, 4294967295]",
        ),
    ]


class ConjugateGradientOptions(TypedDict, total=False):
    """Options of the conjugate gradients that find Newton steps."""

    cg_iterations: Annotated[
        int,
        Option(
            10,
            "Largest number of iterations for one step; 10 in the published counts and in the "
            "authors' configuration.",
            within="[1, 1000000]",
        ),
    ]
    cg_tolerance: Annotated[
        float,
        Option(
            1e-9,
            "Norm of the residual at which they end, relative to that of the gradient. The "
            "authors' configuration has the same number as an absolute norm; with that, no run "
            "would reach a smaller gradient.",
            within="[0, 1)",
        ),
    ]


class LineSearchOptions(TypedDict, total=False):
    """Options of backtracking, with the values of the authors' configuration."""

    armijo: Annotated[
        float,
        Option(1e-4, "Share of the slope by which a step must decrease the loss.", within="(0, 1)"),
    ]
    backtrack: Annotated[
        float, Option(0.5, "Factor by which a step is shortened.", within="(0, 1)")
    ]
    backtracks: Annotated[
        int, Option(15, "Largest number of times that a step is shortened.", within="[0, 1000000]")
    ]


class RadiusOptions(TypedDict, total=False):
    """Options of the trust region of methods with Hessians."""

    radius: Annotated[
        float,
        Option(
            1.0,
            "Initial radius, a length in the units of the parameters, in the 2-norm (our choice; "
            "the authors' configuration has 10).",
            within="(0, inf)",
            rule=_within_bounds,
        ),
    ]
    radius_min: Annotated[
        float,
        Option(1e-16, "Smallest radius, as in the authors' configuration.", within="(0, inf)"),
    ]
    radius_max: Annotated[
        float, Option(1e16, "Largest radius, as in the authors' configuration.", within="(0, inf)")
    ]
    shrink: Annotated[
        float,
        Option(
            0.5,
            "Factor on the radius if the ratio is below ``eta_1``, as in the authors' "
            "configuration.",
            within="(0, 1)",
        ),
    ]
    grow: Annotated[
        float,
        Option(
            2.0,
            "Factor on the radius if the ratio is above ``eta_2``, as in the authors' "
            "configuration.",
            within="(1, inf)",
        ),
    ]
    eta_1: Annotated[
        float,
        Option(
            0.25,
            "Acceptance threshold. The slides' value is lost; 0.25 is what the authors' "
            "configuration has for the radius.",
            within="(0, eta_2]",
        ),
    ]
    eta_2: Annotated[
        float,
        Option(
            0.75,
            "Ratio above which the radius grows, as in the authors' configuration.",
            within="(0, 1)",
        ),
    ]
    rounding: Annotated[
        float,
        Option(
            10.0,
            "If actual and predicted reduction are both smaller than this many units of the "
            "loss's rounding, their ratio counts as 1 (our choice; without it no run gets to a "
            "gradient of 1e-10). 0 for no such guard.",
            within="[0, inf)",
        ),
    ]


class InnerOptions(SeedOptions, total=False):
    """Options of methods that take stochastic steps between snapshots."""

    lr: Annotated[
        float,
        Option(
            0.125,
            "Learning rate, in units of ``1 / L_max`` (our choice) if the sum knows it: ``L_max`` "
            "is the largest Lipschitz constant of the gradient of one sample's loss with the "
            "regulariser, ``max_j |x_j|^2 / 4 + penalty`` for logistic regression. Otherwise, as "
            "for a network, it is the factor of the gradient itself. 1/8 in the authors' "
            "configuration, in unknown units; it should be tuned.",
            within="(0, inf)",
        ),
    ]
    snapshot_steps: Annotated[
        int,
        Option(
            100,
            "Stochastic steps between two gradients of all samples; 100 in the authors' "
            "configuration.",
            within="[1, 1000000]",
        ),
    ]
    batch: Annotated[
        int | None,
        Option(
            None,
            "Samples of a stochastic step; ``None`` for a hundredth of all, at least 1 (our "
            "choice). No more than all are taken.",
            within="[1, 1000000]",
        ),
    ]
    draw: Annotated[
        Draw,
        Option(
            "blocks",
            'How samples are drawn (our choice): ``"blocks"`` shuffles all samples once, cuts them '
            "into blocks, some of which may be larger by one sample, and draws a block with "
            'replacement for each step; ``"reshuffled"`` draws without replacement between two '
            'snapshots, until all have been drawn; ``"independent"`` draws each sample with '
            "replacement, as in the theory. Blocks are the fastest: they are laid out once.",
        ),
    ]


def conjugate_gradients(options: Mapping[str, Any]) -> ConjugateGradients:
    """Compose the conjugate gradients."""
    return ConjugateGradients(options["cg_iterations"], options["cg_tolerance"])


def line_search(options: Mapping[str, Any]) -> Armijo:
    """Compose the line search."""
    return Armijo(options["armijo"], options["backtrack"], options["backtracks"])
