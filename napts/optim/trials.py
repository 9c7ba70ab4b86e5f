"""One phase's acceptance test: candidates from one iterate, judged against one reference."""

import math
from dataclasses import dataclass, field

from napts.optim.acceptance import (
    FAILED,
    Reference,
    Verdict,
    accept_decrease,
    accept_finite,
    judge,
    promising,
)
from napts.optim.history import History, Success
from napts.optim.local_model import Step
from napts.optim.objective import Measured, Objective, Point
from napts.optim.record import Phase, Trial
from napts.optim.vectors import Vector


@dataclass(slots=True)
class Iteration:
    """What one call of ``step`` carries from phase to phase.

    Attributes:
        objective: The batch loss.
        reevaluate: Histories are measured on the current batch: keep their iterates.
        trials: Every trial so far.
        start: The parameters at its start.
        known: Iterates whose loss on the current batch is known, with that loss, by identity.
    """

    objective: Objective
    reevaluate: bool
    start: Vector | None = None
    trials: list[Trial] = field(default_factory=list)
    known: dict[int, tuple[Vector, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The verdict on a candidate.

    Attributes:
        verdict: The verdict.
        theta: The parameters after the step, if it was accepted and they are wanted.
    """

    verdict: Verdict
    theta: Vector | None = None

    @property
    def accepted(self) -> bool:
        """The candidate was accepted; the parameters are those it leads to."""
        return self.verdict.accepted


class AcceptanceTest:
    """Judges the candidates of one phase.

    Args:
        iteration: The iteration; every candidate is added to its list of trials.
        point: Where the candidates start.
        history: The memory used to judge them, to which an accepted one is added; ``None``
            accepts any candidate with a finite loss, or with one that is no larger.
        eta: Acceptance threshold ``eta_1``.
        keep_graph: An accepted trial will be linearised; its parameters are wanted.
        forced_decrease: Without a memory, accept only a loss that is no larger.
    """

    def __init__(
        self,
        iteration: Iteration,
        point: Point,
        history: History | None,
        eta: float,
        *,
        keep_graph: bool,
        forced_decrease: bool = False,
    ) -> None:
        self._iteration = iteration
        self._point = point
        self._history = history
        self._eta = eta
        self._keep_graph = keep_graph
        self._fresh = True
        self._forced_decrease = forced_decrease
        reevaluate = iteration.reevaluate and history is not None
        self._reference = self._reevaluated(history) if reevaluate and history else None

    def judge(
        self,
        step: Step,
        phase: Phase,
        radius: float,
        coefficient: float | None = None,
        theta: Vector | None = None,
        *,
        last: bool = False,
    ) -> Outcome:
        """Evaluate a candidate and decide; costs one forward pass.

        A candidate known to promise nothing is rejected without a pass, unless it is the first of
        the phase (its predicted reduction is read together with its loss).

        Args:
            step: The candidate.
            phase: Where it comes from.
            radius: Radius for which it was made.
            coefficient: Weight of eq. (10).
            theta: ``theta_k + s``, if the caller has it already.
            last: Take it even if the loss grows, as long as the loss is finite.

        Returns:
            The verdict and the parameters of an accepted candidate.
        """
        known = step.known_reduction
        if known is not None and self._is_hopeless(known):
            empty = Measured(self._iteration.objective.loss_of(self._point), math.nan, known, 0.0)
            self._note(empty, FAILED, phase, radius, coefficient, evaluated=False)
            return Outcome(FAILED)
        self._fresh = False
        objective = self._iteration.objective
        measured = objective.evaluate(self._point, step, theta, keep_graph=self._keep_graph)
        verdict = self._decide(measured, last=last)
        self._note(measured, verdict, phase, radius, coefficient, evaluated=True)
        if not verdict.accepted:
            return Outcome(verdict)
        if theta is None and (self._keep_graph or self._iteration.reevaluate):
            theta = objective.layout.written()
        self._remember(measured, theta)
        return Outcome(verdict, theta)

    def _is_hopeless(self, promised: float) -> bool:
        if self._fresh or self._history is None:
            return False
        # The loss is on the host since the first candidate of the phase was judged.
        return not promising(promised, float(self._point.loss))

    def _decide(self, measured: Measured, *, last: bool) -> Verdict:
        loss, trial_loss, predicted = measured.loss, measured.trial_loss, measured.predicted
        if self._history is None:
            must_decrease = self._forced_decrease and not last
            accept = accept_decrease if must_decrease else accept_finite
            return accept(loss, trial_loss, predicted)
        reference = self._reference or self._history.reference(loss)[0]
        return judge(loss, trial_loss, predicted, reference, self._eta)

    def _reevaluated(self, history: History) -> Reference:
        """Choose the reference by its stored loss, then measure it on the current batch."""
        objective, known, here = self._iteration.objective, self._iteration.known, self._point.theta
        loss = objective.loss_of(self._point)
        known[id(here)] = here, loss
        reference, past = history.reference(loss, here)
        # Nothing predicted since then: no step was taken, it is where we are.
        if past is None or past.theta is None or past.predicted == 0:
            return Reference(loss, 0.0)
        if id(past.theta) not in known:
            known[id(past.theta)] = past.theta, objective.loss_at(past.theta)
            objective.layout.write(here)
        measured = known[id(past.theta)][1]
        usable = measured if math.isfinite(measured) else -math.inf
        return Reference(usable, reference.predicted)

    def _remember(self, measured: Measured, theta: Vector | None) -> None:
        if self._history is None:
            return
        iteration = self._iteration
        self._history.push(
            Success(
                measured.loss,
                measured.trial_loss,
                measured.predicted,
                start=self._point.theta if iteration.reevaluate else None,
                end=theta if iteration.reevaluate else None,
            )
        )

    def _note(
        self,
        measured: Measured,
        verdict: Verdict,
        phase: Phase,
        radius: float,
        coefficient: float | None,
        *,
        evaluated: bool,
    ) -> None:
        self._iteration.trials.append(
            verdict.on(
                phase,
                radius,
                measured.loss,
                measured.trial_loss,
                measured.predicted,
                measured.step_norm,
                coefficient,
                evaluated=evaluated,
            )
        )
