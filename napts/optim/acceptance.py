"""The acceptance test: is a trial good enough, against the current loss or against the past?

Judging is separate from proposing: a test sees losses and promises, never a step. The radius
follows the verdict, by one rule for all methods.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from napts.optim.record import Phase, Trial

SMALLEST_PREDICTION = 1e-12
"""A promised reduction at or below this share of the loss, or of 1 if the loss is larger, counts as
none: the candidate is rejected (our choice)."""


@dataclass(frozen=True, slots=True)
class Reference:
    """The past iterate that a trial may be measured against, CGT Algorithm 10.1.1.

    Attributes:
        loss: ``f(theta_r)``.
        predicted: ``sigma``, the reductions predicted on the way from ``theta_r`` to ``theta_k``.
    """

    loss: float
    predicted: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of one acceptance test.

    Attributes:
        accepted: Take the step.
        nonmonotone: Taken, but only because of the reference to the past.
        current: Actual and predicted reduction against the current loss.
        historical: The same against the reference.
    """

    accepted: bool
    nonmonotone: bool
    current: tuple[float, float]
    historical: tuple[float, float]

    def reaches(self, threshold: float) -> bool:
        """Tell whether ``max(rho_c, rho_h) >= threshold``, without dividing."""
        return _reaches(self.current, threshold) or _reaches(self.historical, threshold)

    def exceeds(self, threshold: float) -> bool:
        """Tell whether ``max(rho_c, rho_h) > threshold``, without dividing."""
        return _exceeds(self.current, threshold) or _exceeds(self.historical, threshold)

    def on(
        self,
        phase: Phase,
        radius: float,
        loss: float,
        trial_loss: float,
        predicted: float,
        step_norm: float,
        coefficient: float | None = None,
        *,
        evaluated: bool = True,
    ) -> Trial:
        """Return the record of the trial that this is the verdict on."""
        return Trial(
            phase=phase,
            coefficient=coefficient,
            radius=radius,
            predicted_reduction=predicted,
            loss=loss,
            trial_loss=trial_loss,
            ratio_current=self.ratio_current,
            ratio_history=self.ratio_history,
            step_norm=step_norm,
            accepted=self.accepted,
            nonmonotone=self.nonmonotone,
            evaluated=evaluated,
        )

    @property
    def ratio_current(self) -> float:
        """``rho_c`` of eq. (9)."""
        return _ratio(self.current)

    @property
    def ratio_history(self) -> float:
        """``rho_h`` of eq. (9)."""
        return _ratio(self.historical)


FAILED = Verdict(False, False, (-math.inf, 1.0), (-math.inf, 1.0))
"""The verdict on a candidate that promises nothing or has a non-finite loss: its ratio is -inf."""


def promising(predicted: float, loss: float) -> bool:
    """Tell whether a predicted reduction is finite and large enough to be tested.

    Args:
        predicted: The predicted reduction.
        loss: The loss at the start of the step; at 0 every positive reduction is large enough.
    """
    return SMALLEST_PREDICTION * min(1.0, abs(loss)) < predicted < math.inf


def judge(
    loss: float,
    trial_loss: float,
    predicted: float,
    reference: Reference,
    eta: float,
    rounding: float = 0.0,
) -> Verdict:
    """Test a trial against the current loss and against the reference, NAPTS eq. (9).

    Args:
        loss: ``f(theta_k)``.
        trial_loss: ``f(theta_k + s_k)``.
        predicted: ``m_k(0) - m_k(s_k)``.
        reference: The reference iterate; with the current loss and 0 the test is monotone.
        eta: Smallest ratio that is accepted.
        rounding: Share of the loss within which a difference of losses is rounding. If actual and
            predicted reduction are both smaller, the ratio is noise and counts as 1. Otherwise
            good steps near a minimiser would be rejected until the radius vanishes (our choice,
            relative to the loss so that small losses are not waved through). With 0 there is no
            such guard, and a small predicted reduction counts as none.

    Returns:
        The verdict: accepted if one of the two ratios reaches ``eta``. A trial fails if its loss
        is NaN or infinite, or if its predicted reduction is not positive.
    """
    promises = 0.0 < predicted < math.inf if rounding else promising(predicted, loss)
    if not (math.isfinite(trial_loss) and promises):
        return FAILED
    if max(abs(loss - trial_loss), predicted) < rounding * abs(loss):
        return Verdict(True, False, (predicted, predicted), (predicted, predicted))
    current = (loss - trial_loss, predicted)
    historical = (reference.loss - trial_loss, reference.predicted + predicted)
    if not math.isfinite(historical[0]):
        historical = FAILED.historical
    monotone = _reaches(current, eta)
    accepted = monotone or _reaches(historical, eta)
    return Verdict(accepted, accepted and not monotone, current, historical)


def accept_finite(loss: float, trial_loss: float, predicted: float) -> Verdict:
    """Accept every trial that has a finite loss: the proposal of APTSA (NAPTS, section 3)."""
    if not math.isfinite(trial_loss):
        return FAILED
    # Nothing was promised: there is no ratio to speak of.
    current = (loss - trial_loss, predicted) if promising(predicted, loss) else FAILED.current
    return Verdict(True, False, current, current)


def accept_decrease(loss: float, trial_loss: float, predicted: float) -> Verdict:
    """Accept every trial whose loss is not larger: forced decrease (APTS in weights, 2023)."""
    verdict = accept_finite(loss, trial_loss, predicted)
    return replace(verdict, accepted=verdict.accepted and trial_loss <= loss)


def _reaches(pair: tuple[float, float], threshold: float) -> bool:
    actual, predicted = pair
    return actual >= threshold * predicted


def _exceeds(pair: tuple[float, float], threshold: float) -> bool:
    actual, predicted = pair
    return actual > threshold * predicted


def _ratio(pair: tuple[float, float]) -> float:
    actual, predicted = pair
    return actual / predicted if predicted != 0 else math.nan


@dataclass(frozen=True, slots=True)
class RadiusRule:
    """Shrinks, keeps or enlarges the radius by the ratio of the last trial.

    APTS in weights (2023), section 3.1; Conn, Gould, Toint, Algorithm 6.1.1. With ``rho`` the ratio
    of the verdict: ``max(minimum, shrink * radius)`` if ``rho < eta_1``,
    ``min(maximum, grow * radius)`` if ``rho > eta_2``, else unchanged.

    Attributes:
        minimum: Smallest radius.
        maximum: Largest radius.
        shrink: Factor in (0, 1).
        grow: Factor above 1.
        eta_1: Ratio under which the radius shrinks; also the acceptance threshold.
        eta_2: Ratio above which it grows.
    """

    minimum: float
    maximum: float
    shrink: float
    grow: float
    eta_1: float
    eta_2: float

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> "RadiusRule":
        """Return the rule that the options of a method describe."""
        return cls(
            minimum=options["radius_min"],
            maximum=options["radius_max"],
            shrink=options["shrink"],
            grow=options["grow"],
            eta_1=options["eta_1"],
            eta_2=options["eta_2"],
        )

    def update(self, radius: float, verdict: Verdict) -> float:
        """Return the radius after a trial with this verdict."""
        if not verdict.reaches(self.eta_1):
            return max(self.minimum, self.shrink * radius)
        if verdict.exceeds(self.eta_2):
            return min(self.maximum, self.grow * radius)
        return radius
