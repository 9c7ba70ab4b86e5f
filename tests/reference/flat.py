"""TR, NTR, APTS, APTSA and NAPTS on flat float64 vectors, in plain loops.

Written from the mathematics alone, as a second opinion: nothing of the package is imported, and
nothing is saved that plain arithmetic can do again. One call of `Reference.step` is one
mini-batch, lines 4 to 13 of the reconstructed Algorithm 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from tests.reference.history import (
    ConstantMemoryHistory,
    ReferencePoint,
    Vector,
    WindowedHistory,
    make_history,
)
from tests.reference.mlp import MLPProblem
from tests.reference.sr1 import Pairs, subproblem_step
from tests.reference.steps import (
    Averages,
    Options,
    Problem,
    local_model_step,
    schwarz_proposal,
    trust_region_norm,
)
from tests.reference.tracking import Learned

__all__ = [
    "MLPProblem",
    "Options",
    "Problem",
    "Reference",
    "StepResult",
    "Trial",
    "local_model_step",
    "schwarz_proposal",
    "trust_region_norm",
]

# A candidate that promises no more than this share of |f| (of 1 if that is larger) is no descent
# step of the model.
SMALLEST_PREDICTION = 1e-12


def promising(predicted: float, loss: float) -> bool:
    return predicted > SMALLEST_PREDICTION * min(1.0, abs(loss))


Phase = Literal["proposal", "correction", "global"]

# Of the radius rule that tracks, without what can be chosen; as in TTR.
FIRST_PROBES, FIRST_GAIN, GAIN = 8, 0.2, 0.15
MEANS = {"memory": 0.95, "target_min": 0.05, "target_max": 0.8, "tolerance": 0.4}


@dataclass
class Trial:
    """One candidate step and how it was judged; `trial_loss` is None if f was not evaluated."""

    phase: Phase
    coefficient: float | None
    predicted: float
    trial_loss: float | None
    reference_loss: float
    reference_reduction: float
    ratio_current: float
    ratio_history: float
    accepted: bool
    step_norm: float
    radius: float
    evaluated: bool
    enlarges: bool


@dataclass
class StepResult:
    """What one mini-batch did; `theta` is the iterate afterwards."""

    loss: float
    theta: Vector
    radius_before: float
    radius_after: float
    rejections_proposal: int = 0
    rejections_correction: int = 0
    rejections_global: int = 0
    forwards: int = 0
    backwards: int = 0
    local_passes: int = 0
    accepted: bool = False
    trials: list[Trial] = field(default_factory=list)


class Reference:
    """One method on one problem.

    Args:
        method: "TR", "NTR", "APTS", "APTSA" or "NAPTS".
        problem: the loss and its subdomains.
        theta0: initial iterate, shape (n,).
        options: settings; the monotone methods ignore the history's.
    """

    def __init__(self, method: str, problem: Problem, theta0: Vector, options: Options) -> None:
        if method not in ("TR", "NTR", "APTS", "APTSA", "NAPTS"):
            raise ValueError(f"unknown method {method!r}")
        self.method = method
        self.problem = problem
        self.options = options
        self.theta = np.array(theta0, dtype=np.float64)
        self.radius, self.radius_min, self.radius_max = options.radii()
        self.other_radius = self.radius
        self.steps = self.judged = 0
        self.learned = Learned()
        self.waiting: dict[str, Any] | None = None
        self.averages = Averages.none(problem.n)
        self.curvature = Pairs(options.pairs, problem.n)
        window = options.window if method in ("NTR", "NAPTS") else 0
        self.history_global = make_history(options.history, window, options.history_scope)
        self.history_proposal = (
            self.history_global
            if options.shared_history
            else make_history(options.history, window, options.history_scope)
        )

    def step(self, batch: Any) -> StepResult:
        """Do one iteration on `batch`; values that overflow are judged, not warned about."""
        with np.errstate(all="ignore"):
            return self._step(batch)

    def _step(self, batch: Any) -> StepResult:
        self.steps += 1
        self.batch = batch
        self.result = StepResult(math.nan, self.theta, self.radius, self.radius)
        self.history_proposal.start_step()
        self.history_global.start_step()

        loss = self.result.loss = self._evaluate(self.theta)
        gradient = self._differentiate(self.theta)
        start = self.theta
        self._look_back(loss, gradient)
        if not math.isfinite(loss):
            if self.method not in ("TR", "NTR"):
                # The package learns the loss only together with the proposal's.
                self.result.local_passes += self.options.local_steps - 1
                self.result.forwards += 1
        else:
            if self.method not in ("TR", "NTR"):
                self._change_radius()
                arrived = self._preconditioned_phase(loss, gradient)
                self._change_radius()
            else:
                arrived = loss, gradient
            if arrived is not None:
                self._global_phase(*arrived)
            self._look_at(start, loss, gradient)
        self.result.theta = self.theta.copy()
        self.result.radius_after = self.radius
        self.result.accepted = any(trial.accepted for trial in self.result.trials)
        return self.result

    def _look_back(self, loss: float, gradient: Vector) -> None:
        """Learn from the last step, if it was probed: at its start the new batch is evaluated."""
        waiting = self.waiting
        if waiting is None:
            return
        s = waiting["s"]
        before = self._evaluate(self.theta - s)
        if not math.isfinite(loss):
            return
        self.waiting = None
        slope = 2.0 * (before - loss) + float(gradient @ s)
        o = {**MEANS, "caution": self.options.caution}
        factor = self.learned.move(waiting["promise"], waiting["ratio"], slope, waiting["gain"], o)
        self.radius, self.other_radius = (
            min(self.radius_max, max(self.radius_min, factor * radius))
            for radius in (self.radius, self.other_radius)
        )

    def _look_at(self, start: Vector, loss: float, gradient: Vector) -> None:
        """Note the whole step, if it is probed."""
        index, self.judged = self.judged, self.judged + 1
        taken = [trial for trial in self.result.trials if trial.accepted]
        probed = index < FIRST_PROBES or (index + 1) % self.options.probe_every == 0
        if self.options.radius_rule != "tracking" or not probed or not taken:
            return
        s = self.theta - start
        promise = -float(gradient @ s)
        if promise > 16 * np.finfo(np.float64).eps * abs(loss):
            assert taken[-1].trial_loss is not None
            ratio = (loss - taken[-1].trial_loss) / promise
            gain = FIRST_GAIN if index < FIRST_PROBES else GAIN
            self.waiting = {"s": s, "promise": promise, "ratio": ratio, "gain": gain}

    def _preconditioned_phase(self, loss: float, gradient: Vector) -> tuple[float, Vector] | None:
        """Lines 6-12; returns loss and gradient where line 13 is to start, if it is to happen."""
        proposal = schwarz_proposal(
            self.problem,
            self.theta,
            gradient,
            self.radius,
            self.options,
            self.batch,
            self.averages,
        )
        if self.options.moments == "kept":
            self.averages = self.averages.take(gradient, self.options.betas)
        self.result.local_passes += self.options.local_steps - 1
        predicted = -float(gradient @ proposal)
        if self.method == "APTSA":
            reference = ReferencePoint(loss, 0.0)
        else:
            reference = self._reference(self.history_proposal, loss)
        trial = self._try("proposal", 0.0, proposal, predicted, loss, reference, evaluate=True)
        step = proposal
        if self.method == "APTSA":
            trial.accepted = trial.trial_loss is not None and math.isfinite(trial.trial_loss)
        self.result.rejections_proposal += not trial.accepted

        if self.method != "APTSA":
            if self.options.retry == "shrink":
                trial, step = self._shrink(trial, proposal, loss, reference)
            elif not trial.accepted:
                trial, step = self._correct(trial, proposal, predicted, loss, gradient, reference)
            self._update_radius(trial)
        if not trial.accepted:
            return None if self.options.global_step == "never" else (loss, gradient)
        self._move(trial, step, loss, self.history_proposal)
        if self.options.global_step != "always":
            return None
        assert trial.trial_loss is not None
        return trial.trial_loss, self._differentiate(self.theta)

    def _correct(
        self,
        trial: Trial,
        proposal: Vector,
        predicted: float,
        loss: float,
        gradient: Vector,
        reference: ReferencePoint,
    ) -> tuple[Trial, Vector]:
        """Line 11: mixtures (10) of the model's step and the failed proposal, until one holds."""
        model_step = self._model_step(gradient)
        model_predicted = -float(gradient @ model_step)
        mixture = proposal
        for weight in self.options.correction:
            mixture = weight * model_step + (1.0 - weight) * proposal
            promise = weight * model_predicted + (1.0 - weight) * predicted
            trial = self._try(
                "correction", weight, mixture, promise, loss, reference, evaluate=False
            )
            if trial.accepted:
                break
            self.result.rejections_correction += 1
        return trial, mixture

    def _shrink(
        self, trial: Trial, proposal: Vector, loss: float, reference: ReferencePoint
    ) -> tuple[Trial, Vector]:
        """Instead of line 11: the proposal again, as much shorter as the radius has become."""
        whole, step = self.radius, proposal
        for _ in range(self.options.max_tries - 1):
            if trial.accepted or not promising(trial.predicted, loss):
                break
            before = self.radius
            self._update_radius(trial)
            if self.radius == before:
                break
            step = proposal * (self.radius / whole)
            predicted = trial.predicted * (self.radius / before)
            trial = self._try("correction", None, step, predicted, loss, reference, evaluate=False)
            self.result.rejections_correction += not trial.accepted
        return trial, step

    def _global_phase(self, loss: float, gradient: Vector) -> None:
        """Line 13, which is the whole of TR and NTR."""
        reference = self._reference(self.history_global, loss)
        for attempt in range(self.options.max_tries):
            step = self._model_step(gradient)
            predicted = self._promise(gradient, step)
            trial = self._try(
                "global", None, step, predicted, loss, reference, evaluate=attempt == 0
            )
            self._update_radius(trial)
            if trial.accepted:
                self._move(trial, step, loss, self.history_global)
                return
            self.result.rejections_global += 1
            if self.radius == trial.radius or not promising(predicted, loss):
                return

    def _try(
        self,
        phase: Phase,
        coefficient: float | None,
        step: Vector,
        predicted: float,
        loss: float,
        reference: ReferencePoint,
        evaluate: bool,
    ) -> Trial:
        """Judge one candidate by eq. (9); a hopeless one is evaluated only if asked for."""
        promises = promising(predicted, loss)
        evaluated = evaluate or promises
        trial_loss = self._evaluate(self.theta + step) if evaluated else None
        trial = Trial(
            phase=phase,
            coefficient=coefficient,
            predicted=predicted,
            trial_loss=trial_loss,
            reference_loss=reference.loss,
            reference_reduction=reference.reduction,
            ratio_current=-math.inf,
            ratio_history=-math.inf,
            accepted=False,
            step_norm=trust_region_norm(step, self.options.norm),
            radius=self.radius,
            evaluated=evaluated,
            enlarges=False,
        )
        self.result.trials.append(trial)
        if trial_loss is None or not math.isfinite(trial_loss):
            return trial
        if not promises or not math.isfinite(predicted):
            return trial
        pairs = [(loss - trial_loss, predicted)]
        trial.ratio_current = (loss - trial_loss) / predicted
        if reference.usable:
            promised = reference.reduction + predicted
            pairs.append((reference.loss - trial_loss, promised))
            trial.ratio_history = (reference.loss - trial_loss) / promised
        trial.accepted = any(got >= self.options.eta_1 * due for got, due in pairs)
        trial.enlarges = any(got > self.options.eta_2 * due for got, due in pairs)
        return trial

    def _change_radius(self) -> None:
        """Enter or leave the preconditioned phase, which may have a radius of its own."""
        if not self.options.shared_radius:
            self.radius, self.other_radius = self.other_radius, self.radius

    def _update_radius(self, trial: Trial) -> None:
        """Radius rule of spec 1.4 for a judged trial."""
        if not trial.accepted:
            self.radius = max(self.radius_min, self.options.shrink * self.radius)
        elif trial.enlarges and self.options.radius_rule == "ratio":
            self.radius = min(self.radius_max, self.options.grow * self.radius)

    def _move(
        self,
        trial: Trial,
        step: Vector,
        loss: float,
        history: WindowedHistory | ConstantMemoryHistory,
    ) -> None:
        """Take an accepted step and tell the history."""
        assert trial.trial_loss is not None
        arrived = self.theta + step
        history.push((loss, self.theta), (trial.trial_loss, arrived), trial.predicted, self.steps)
        self.theta = arrived

    def _reference(
        self, history: WindowedHistory | ConstantMemoryHistory, loss: float
    ) -> ReferencePoint:
        return history.reference(loss, self.theta, self.steps, self._evaluate)

    def _promise(self, gradient: Vector, step: Vector) -> float:
        curved = step @ self.curvature.matrix @ step if self.options.order == 2 else 0.0
        return -float(gradient @ step + 0.5 * curved)

    def _model_step(self, gradient: Vector) -> Vector:
        if self.options.order == 2:
            return subproblem_step(self.curvature.matrix, gradient, self.radius)
        return local_model_step(gradient, self.radius, self.options.norm, self.options.direction)

    def _evaluate(self, theta: Vector) -> float:
        self.result.forwards += 1
        return float(self.problem.loss(theta, self.batch))

    def _differentiate(self, theta: Vector) -> Vector:
        self.result.backwards += 1
        gradient = np.asarray(self.problem.gradient(theta, self.batch), dtype=np.float64)
        self.curvature.observe(theta, gradient)
        return gradient
