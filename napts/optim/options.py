"""The options that methods share; each is defined here and nowhere else."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypedDict

from napts.optim.cadam import Cap
from napts.optim.composition import GlobalStep
from napts.optim.correction import Retry
from napts.optim.local_model import Direction
from napts.optim.moments import KeepMoments
from napts.optim.option import ByNorm, Option
from napts.optim.precision import LocalPrecision
from napts.optim.regions import RadiusFloor
from napts.optim.schwarz import Shares
from napts.optim.tracking.options import CAUTION, PROBE_EVERY
from napts.optim.vectors import Norm

HistoryKind = Literal["windowed", "constant-memory"]
HistoryScope = Literal["rolling", "reeval", "per_batch"]
Order = Literal[1, 2]
RadiusRuleKind = Literal["ratio", "tracking"]

CORRECTION_WEIGHTS = (0.2, 0.4, 0.6, 0.8, 1.0)
"""Weights of eq. (10). Not printed in the paper; the series of APTS in weights (2023)."""


def _within_bounds(options: Mapping[str, Any]) -> str | None:
    low, radius, high = (options[name] for name in ("radius_min", "radius", "radius_max"))
    return None if low <= radius <= high else f"must lie in [{low}, {high}]"


def _shrinks_less_than_wholly(options: Mapping[str, Any]) -> str | None:
    fits = options["weight_decay"] < 1 or not options["decoupled_weight_decay"]
    return None if fits else "must be below 1 if it is decoupled"


def _whole_with_exact_block(options: Mapping[str, Any]) -> str | None:
    fits = options["local_fraction"] == 1 or not options["last_block_exact"]
    return None if fits else "must be 1 with last_block_exact"


class TrustRegionOptions(TypedDict, total=False):
    """Options of every trust-region method."""

    radius: Annotated[
        float | None,
        Option(
            ByNorm(0.1, 1e-2),
            "Initial radius, a length in the units of the parameters. Our choice for the 2-norm; "
            "APTS in weights (2023), section 3.1, for the infinity norm.",
            within="(0, inf)",
            rule=_within_bounds,
        ),
    ]
    radius_min: Annotated[
        float | None, Option(ByNorm(1e-3, 1e-4), "Smallest radius; likewise.", within="(0, inf)")
    ]
    radius_max: Annotated[
        float | None, Option(ByNorm(2.0, 1e-1), "Largest radius; likewise.", within="(0, inf)")
    ]
    shrink: Annotated[float, Option(0.5, "Factor on failure.", within="(0, 1)")]
    grow: Annotated[
        float, Option(2.0, "Factor by which the radius grows on great success.", within="(1, inf)")
    ]
    eta_1: Annotated[float, Option(0.25, "Acceptance threshold.", within="(0, eta_2]")]
    eta_2: Annotated[float, Option(0.75, "Ratio above which the radius grows.", within="(0, 1)")]
    radius_rule: Annotated[
        RadiusRuleKind,
        Option(
            "ratio",
            'What moves the radius. With ``"ratio"`` (the papers) each trial does: it shrinks '
            'below ``eta_1`` and grows above ``eta_2``. With ``"tracking"`` (ours, as in '
            ":class:`napts.TTR`) rejected trials still shrink it, and apart from that it follows "
            "what whole iterations bring: their share of what the gradient promised is moved "
            "towards a target that depends on how much of such promises the next batch confirms. "
            "The target may be as small as 0.05, so ``eta_1`` should not be larger. ``grow`` and "
            "``eta_2`` are then unused.",
            before="ratio",
        ),
    ]
    caution: Annotated[
        float,
        Option(
            CAUTION,
            'With ``radius_rule="tracking"``: factor on the part of a promise that is noise; the '
            "product, within 0.05 and 0.8, is the target. The larger, the shorter the steps.",
            within="(0, inf)",
            before=CAUTION,
        ),
    ]
    probe_every: Annotated[
        int,
        Option(
            PROBE_EVERY,
            'With ``radius_rule="tracking"``: one iteration in so many is probed, and each of the '
            "first eight. A probe costs one forward, with the next batch.",
            within="[1, 1000000]",
            before=PROBE_EVERY,
        ),
    ]
    norm: Annotated[
        Norm,
        Option(
            "l2",
            "Norm of the region. The NAPTS paper does not state its norm; the 2-norm is our "
            "choice.",
        ),
    ]
    direction: Annotated[
        Direction,
        Option(
            "scaled_gradient",
            "Direction of the first-order step; see :class:`napts.optim.local_model.FirstOrder`.",
        ),
    ]
    max_tries: Annotated[
        int,
        Option(
            5,
            "Most tries on one batch; 1 is the textbook iteration. The loop also ends at the "
            "smallest radius, where a further try would repeat the last, unless ``radius_floor`` "
            "allows it.",
            within="[1, 1000]",
        ),
    ]
    radius_floor: Annotated[
        RadiusFloor,
        Option(
            "yielding",
            'How ``radius_min`` acts: ``"fixed"`` (the papers); ``"repeated"``, fixed, with '
            'failed global steps tried again there; or ``"yielding"`` (ours), which holds as long '
            "as steps are accepted. See :class:`napts.optim.regions.Regions`.",
            in_specs="fixed",
            before="fixed",
        ),
    ]
    weight_decay: Annotated[
        float,
        Option(
            0.0,
            "May differ between groups. ``weight_decay / 2 * ||theta||^2`` is part of the loss "
            "wherever that is measured, and of the value that ``step`` returns.",
            within="[0, inf)",
            rule=_shrinks_less_than_wholly,
            before=0.0,
        ),
    ]
    decoupled_weight_decay: Annotated[
        bool,
        Option(
            False,
            "The weights shrink by the factor ``1 - lr * weight_decay`` once per step, before it "
            "starts. The loss does not include this, and the acceptance test does not judge it; it "
            "is undone if there is no step.",
            before=False,
        ),
    ]


class ModelOptions(TypedDict, total=False):
    """Options of the local model."""

    order: Annotated[
        Order,
        Option(
            1,
            "1 for the first-order model, 2 for one with limited-memory SR1 curvature, which is "
            "minimised exactly in the 2-norm (``direction`` is then unused); see "
            ":class:`napts.optim.quadratic_model.SecondOrder`.",
            before=1,
        ),
    ]
    pairs: Annotated[
        int,
        Option(
            5,
            "How many pairs of a step and the change of the gradient along it make up the "
            "curvature. 5 is the number in APTS in weights (2023), section 3.1.",
            within="[1, 1000]",
            before=5,
        ),
    ]


class HistoryOptions(TypedDict, total=False):
    """Options of the non-monotone methods."""

    window: Annotated[
        int,
        Option(
            5,
            "Number of past successes that are remembered; 0 gives the monotone method. Not "
            "printed in the NAPTS paper; 5 is our choice.",
            within="[0, 1000000]",
        ),
    ]
    history: Annotated[
        HistoryKind,
        Option(
            "windowed",
            '``"windowed"`` (NAPTS eqs. (6) to (8)) or ``"constant-memory"`` (CGT Algorithm '
            "10.1.2). The latter is meant for losses of one batch: on mini-batches its reference "
            'freezes after a lucky one. There, use ``"windowed"``, or '
            '``history_scope="per_batch"``, or at least ``"reeval"``, which measures the frozen '
            "reference on the current batch. See :class:`napts.optim.history.ConstantMemory`.",
        ),
    ]
    history_scope: Annotated[
        HistoryScope,
        Option(
            "rolling",
            "What a remembered loss means on another mini-batch; the paper leaves this open. "
            '``"rolling"`` takes it unchanged (our choice), ``"reeval"`` measures the reference '
            "again on the current batch (one forward, and a copy of the parameters per remembered "
            'success), ``"per_batch"`` forgets at every batch.',
        ),
    ]


class SchwarzOptions(TypedDict, total=False):
    """Options of what subdomains do with CAdam."""

    local_steps: Annotated[
        int,
        Option(
            5,
            "CAdam steps ``T`` per subdomain. Not printed in the NAPTS paper; 5 is the number of "
            "local steps in APTS in weights (2023).",
            within="[1, 10000]",
        ),
    ]
    cap: Annotated[Cap, Option("scale", "How CAdam shortens its steps.")]
    betas: Annotated[
        tuple[float, float],
        Option(
            (0.9, 0.999),
            "CAdam's decay rates, as in the authors' earlier code.",
            within="[0, 1)",
        ),
    ]
    eps: Annotated[float, Option(1e-8, "CAdam's denominator term, likewise.", within="(0, inf]")]
    last_block_exact: Annotated[
        bool, Option(False, "See :class:`napts.optim.schwarz.AdditiveSchwarz`.")
    ]
    moments: Annotated[
        KeepMoments,
        Option(
            "reset",
            '``"reset"`` starts CAdam from zero moments in every iteration (our choice; the paper '
            'does not say), ``"kept"`` continues with the moments of the global gradients.',
            before="reset",
        ),
    ]
    shares: Annotated[
        Shares,
        Option(
            "equal",
            '``"equal"`` gives each subdomain the same part of the radius (the paper); with '
            '``"joint"`` the proposal has the direction of Adam on all subdomains together.',
            before="equal",
        ),
    ]
    local_fraction: Annotated[
        float,
        Option(
            1.0,
            "Share of the cached batch that each local step after the first one uses; consecutive "
            "steps use consecutive parts. 1 in the paper.",
            within="(0, 1]",
            rule=_whole_with_exact_block,
            before=1.0,
        ),
    ]
    local_precision: Annotated[
        LocalPrecision,
        Option(
            "full",
            "Precision of those steps' gradients; see :func:`napts.optim.precision.reduced`. The "
            "loss and its gradient always have full precision.",
            before="full",
        ),
    ]


class CorrectionOptions(TypedDict, total=False):
    """Options for what follows a proposal."""

    correction: Annotated[
        Sequence[float],
        Option(
            CORRECTION_WEIGHTS,
            "Weights of eq. (10), in the order tried; empty for none.",
            within="(0, 1]",
            noun="weights",
        ),
    ]
    retry: Annotated[
        Retry,
        Option(
            "mixture",
            'What follows a failed proposal: ``"mixture"``, eq. (10), or ``"shrink"``, which '
            "shrinks the radius and the proposal with it, up to ``max_tries`` times in all (ours).",
            before="mixture",
        ),
    ]
    global_step: Annotated[
        GlobalStep,
        Option(
            "always",
            '``"always"`` (the paper), ``"on_failure"``, that is only if the proposal and its '
            'corrections were rejected, or ``"never"`` (both ours). Without it, an accepted batch '
            "costs one global forward and backward, ``local_steps - 1`` local passes and one "
            "forward.",
            before="always",
        ),
    ]
    shared_radius: Annotated[
        bool,
        Option(
            True,
            "Whether proposals and global steps have one radius (our choice) or one each.",
            before=True,
        ),
    ]
