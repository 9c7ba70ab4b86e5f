"""The options of methods whose radius tracks evidence; each is defined here, once."""

from collections.abc import Mapping
from typing import Annotated, Any, TypedDict

from napts.optim.option import Option


def _within_bounds(options: Mapping[str, Any]) -> str | None:
    low, radius, high = (options[name] for name in ("radius_min", "radius", "radius_max"))
    return None if low <= radius <= high else f"must lie in [{low}, {high}]"


def _above_least(options: Mapping[str, Any]) -> str | None:
    least = options["target_min"]
    return None if options["target_max"] >= least else f"must be at least target_min = {least}"


CAUTION = 1.3
"""Factor on the noise in promises, wherever the rule is a part (our choice)."""

PROBE_EVERY = 12
"""One step in so many is probed, likewise."""


class TrackingOptions(TypedDict, total=False):
    """Options of the radius rule and of the evidence that it follows; all defaults are ours."""

    radius: Annotated[
        float,
        Option(
            1e-3,
            "Initial radius: the factor of Adam's direction, about the largest change of a "
            "parameter in one step, in the units of the parameters.",
            within="(0, inf)",
            rule=_within_bounds,
        ),
    ]
    radius_min: Annotated[float, Option(1e-8, "Smallest radius.", within="(0, inf)")]
    radius_max: Annotated[float, Option(1.0, "Largest radius.", within="(0, inf)")]
    caution: Annotated[
        float,
        Option(
            CAUTION,
            "Factor on the part of a step's promise that is noise; the product is the share of the "
            "promise that a step should keep on its own batch. At 1 the next batch gains nothing "
            "by a step; the larger, the shorter the steps.",
            within="(0, inf)",
        ),
    ]
    target_min: Annotated[
        float, Option(0.05, "Smallest share that a step should keep.", within="[0, 1)")
    ]
    target_max: Annotated[
        float,
        Option(
            0.8,
            "Largest share that a step should keep. Without this bound steps become ever shorter "
            "where batches are so small that nearly all of a promise is noise.",
            within="(0, 1)",
            rule=_above_least,
        ),
    ]
    tolerance: Annotated[
        float,
        Option(
            0.4,
            "Distance from the target at which the radius moves as fast as it may.",
            within="(0, inf)",
        ),
    ]
    first_probes: Annotated[
        int,
        Option(8, "Number of steps at the beginning that are all probed.", within="[0, 1000000]"),
    ]
    first_gain: Annotated[
        float,
        Option(
            0.2,
            "Largest change of the radius's logarithm by one of these probes.",
            within="[0, 10]",
        ),
    ]
    probe_every: Annotated[
        int,
        Option(
            PROBE_EVERY,
            "Afterwards, one step in so many is probed. A probe costs two forward passes, one on "
            "the step's own batch and one on the next.",
            within="[1, 1000000]",
        ),
    ]
    gain: Annotated[
        float,
        Option(
            0.15, "Largest change of the logarithm by one of the later probes.", within="[0, 10]"
        ),
    ]
    memory: Annotated[
        float,
        Option(0.95, "Decay rate of the running means of promises.", within="[0, 1)"),
    ]
    reject_below: Annotated[
        float,
        Option(
            -1.0,
            "A probed step whose ratio on its own batch is below this is rejected.",
            within="(-inf, 1)",
        ),
    ]
    shrink: Annotated[
        float, Option(0.5, "Factor on the radius after a rejected step.", within="(0, 1)")
    ]
    average: Annotated[
        float | None,
        Option(
            8.0,
            "The method is evaluated at an average of its iterates; this is the exponent of the "
            "weights, see :func:`napts.optim.iterate_average.weight`. ``None`` for the last "
            "iterate.",
            within="[0, inf)",
        ),
    ]
    betas: Annotated[
        tuple[float, float],
        Option((0.9, 0.999), "Adam's decay rates.", within="[0, 1)"),
    ]
    eps: Annotated[float, Option(1e-8, "Adam's denominator term.", within="(0, inf]")]
    weight_decay: Annotated[
        float,
        Option(
            0.0,
            "``weight_decay / 2 * ||theta||^2`` is part of the loss wherever that is measured, and "
            "of the value that ``step`` returns. May differ between groups.",
            within="[0, inf)",
        ),
    ]
    decoupled_weight_decay: Annotated[
        bool,
        Option(
            False,
            "The weights shrink by the factor ``1 - lr * weight_decay`` with each step instead.",
        ),
    ]
