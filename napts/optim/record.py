"""What one iteration reports: plain numbers, so that a record can be logged, saved and compared."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeVar

_T = TypeVar("_T")

SUM_FIELDS = ("hessians", "hessian_products", "cg_iterations", "sample_fraction")
"""Entries that only methods for finite sums have."""

QUASI_NEWTON_FIELDS = ("gradients_published", "gradients_concurrent", "update_cost")
"""Entries that only quasi-Newton methods have."""

MOST_LEVELS = 6
"""Largest number of networks in a hierarchy whose work is counted separately."""

LEVEL_FIELDS = ("work_units", *(f"work_level_{level}" for level in range(1, MOST_LEVELS + 1)))
"""Entries that only methods with several networks have."""

OPTIONAL_FIELDS = (*SUM_FIELDS, *QUASI_NEWTON_FIELDS, *LEVEL_FIELDS)
"""Entries that only some methods have; the dictionaries of others omit them."""

OPTIONAL_COUNTS = tuple(name for name in OPTIONAL_FIELDS if name != "sample_fraction")
"""Those of them that add up from step to step."""

Phase = Literal["proposal", "correction", "global"]


@dataclass(frozen=True, slots=True)
class Trial:
    """One candidate step and the verdict on it.

    Attributes:
        phase: Where the step came from: the additive ``"proposal"`` (NAPTS line 10), the
            ``"correction"`` loop (line 11) or the ``"global"`` trust-region step (line 13).
        coefficient: Weight ``w`` of eq. (10); 0 for the proposal, ``None`` in the global phase.
        radius: Trust-region radius for which the step was made.
        predicted_reduction: ``m(0) - m(s)``.
        loss: ``f`` at the start of the step.
        trial_loss: ``f(theta + s)``; NaN if it was not worth an evaluation.
        ratio_current: Ratio to the current loss, eq. (9); ``-inf`` for a failed candidate.
        ratio_history: Ratio to the reference of the history, eq. (9).
        step_norm: Length of the step in the trust-region norm.
        accepted: The step was taken.
        nonmonotone: The step was taken, although the current loss alone would have ruled it out.
        evaluated: A forward pass was spent on it.
    """

    phase: Phase
    coefficient: float | None
    radius: float
    predicted_reduction: float
    loss: float
    trial_loss: float
    ratio_current: float
    ratio_history: float
    step_norm: float
    accepted: bool
    nonmonotone: bool
    evaluated: bool = True


@dataclass(slots=True)
class PassCounts:
    """Passes through the network that one iteration has cost.

    Attributes:
        forwards: Evaluations of the whole network; one on a part of the batch counts by its share.
        backwards: Backward passes of the whole network; likewise.
        local_passes: Forward and backward of every subdomain once, each on its own.
        checks: Such local passes, and passes of the whole network, made only to compare local
            gradients with the global one.
    """

    forwards: float = 0
    backwards: float = 0
    local_passes: int = 0
    checks: int = 0


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One iteration of any optimizer, the baselines included.

    The *decisive* trial is the last accepted one, or, if none was, the last one judged. What an
    optimizer does not have is ``None``.

    Attributes:
        loss: ``f_B(theta_k)``, before the iteration.
        trial_loss: Loss at the decisive trial.
        predicted_reduction: Reduction that the local model promised for it.
        actual_reduction: Reduction that it brought.
        ratio_current: Ratio of the two, against the current loss.
        ratio_history: The same against the reference of the history.
        radius_before: Trust-region radius before the iteration.
        radius_after: Trust-region radius after it.
        step_norm: Length of the decisive step in the trust-region norm.
        accepted: Some trial was accepted, the parameters have changed.
        nonmonotone: The decisive trial was accepted thanks to the history alone.
        phase: Phase of the decisive trial.
        coefficient: Weight of eq. (10) with which the preconditioned phase ended: 0 for the
            proposal itself, ``None`` if it failed or does not exist.
        rejections_proposal: Rejected proposals (0 or 1).
        rejections_correction: Rejected weights of the correction loop.
        rejections_global: Rejected tries of the global trust-region step.
        forwards: Forward passes of the whole network; on a part of the batch its share of one.
        backwards: Backward passes of the whole network; likewise.
        local_passes: Local forward and backward passes, all subdomains together counting once.
        checks: Further forward and backward passes, local ones or of the whole network, that only
            compared local gradients with the global one: at the first step, and whenever the model
            or the graph of the loss look different.
        hessians: Hessians that were set up, each by its share of the samples.
        hessian_products: Products of Hessians with vectors, likewise.
        cg_iterations: Iterations of conjugate gradients, whatever their share of the samples.
        sample_fraction: Share of the samples in the smallest subset.
        gradients_published: Gradients by the convention of ASPQN's authors, which leaves out those
            of line searches; ``backwards`` counts all.
        gradients_concurrent: Gradients, if those that need not wait for one another count once.
        update_cost: Vector work, in two-loop recursions over all parameters.
        work_units: Gradients, and products with Hessians, each by the share of the finest network's
            blocks that its network has.
        work_level_1: That of the coarsest network.
        work_level_2: That of the next finer one, and so on.
        work_level_3: Likewise.
        work_level_4: Likewise.
        work_level_5: Likewise.
        work_level_6: Likewise.
        trials: Every trial of the iteration, in order.
    """

    loss: float
    trial_loss: float | None = None
    predicted_reduction: float | None = None
    actual_reduction: float | None = None
    ratio_current: float | None = None
    ratio_history: float | None = None
    radius_before: float | None = None
    radius_after: float | None = None
    step_norm: float | None = None
    accepted: bool = False
    nonmonotone: bool = False
    phase: Phase | None = None
    coefficient: float | None = None
    rejections_proposal: int = 0
    rejections_correction: int = 0
    rejections_global: int = 0
    forwards: float = 0
    backwards: float = 0
    local_passes: int = 0
    checks: int = 0
    hessians: float | None = None
    hessian_products: float | None = None
    cg_iterations: int | None = None
    sample_fraction: float | None = None
    gradients_published: float | None = None
    gradients_concurrent: float | None = None
    update_cost: float | None = None
    work_units: float | None = None
    work_level_1: float | None = None
    work_level_2: float | None = None
    work_level_3: float | None = None
    work_level_4: float | None = None
    work_level_5: float | None = None
    work_level_6: float | None = None
    trials: tuple[Trial, ...] = ()

    @property
    def rejections(self) -> int:
        """Rejected trials of all phases."""
        return self.rejections_proposal + self.rejections_correction + self.rejections_global

    def as_dict(self) -> dict[str, float | int | bool | str | None]:
        """Return the record as a flat dictionary for JSON, without trials and checks.

        Numbers that JSON cannot hold (NaN, infinity) become ``None``. What only
        some methods have is there only if this one has it.
        """
        apart = ("trials", "checks")  # a resumed process checks anew
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in apart}
        values = {k: v for k, v in values.items() if v is not None or k not in OPTIONAL_FIELDS}
        return {name: _finite_or_none(value) for name, value in values.items()}


def summarise(
    loss: float,
    trials: Sequence[Trial],
    counts: PassCounts,
    radius_before: float,
    radius_after: float,
) -> StepRecord:
    """Build the record of a trust-region iteration from its trials.

    Args:
        loss: ``f_B(theta_k)``.
        trials: Every trial, in the order in which it was judged.
        counts: Passes paid for.
        radius_before: Radius before the iteration.
        radius_after: Radius after it.

    Returns:
        The record.
    """
    accepted = [trial for trial in trials if trial.accepted]
    decisive = (accepted or list(trials) or [None])[-1]
    preconditioned = [t for t in accepted if t.phase != "global"]
    rejected = [trial.phase for trial in trials if not trial.accepted]
    return StepRecord(
        loss=loss,
        radius_before=radius_before,
        radius_after=radius_after,
        accepted=bool(accepted),
        coefficient=preconditioned[-1].coefficient if preconditioned else None,
        rejections_proposal=rejected.count("proposal"),
        rejections_correction=rejected.count("correction"),
        rejections_global=rejected.count("global"),
        forwards=counts.forwards,
        backwards=counts.backwards,
        local_passes=counts.local_passes,
        checks=counts.checks,
        trials=tuple(trials),
        **({} if decisive is None else _decisive(decisive)),
    )


def _decisive(trial: Trial) -> dict[str, Any]:
    return {
        "trial_loss": trial.trial_loss,
        "predicted_reduction": trial.predicted_reduction,
        "actual_reduction": trial.loss - trial.trial_loss,
        "ratio_current": trial.ratio_current,
        "ratio_history": trial.ratio_history,
        "step_norm": trial.step_norm,
        "nonmonotone": trial.nonmonotone,
        "phase": trial.phase,
    }


def _finite_or_none(value: _T) -> _T | None:
    return None if isinstance(value, float) and not math.isfinite(value) else value
