"""The radius rule that follows evidence, as a part of methods that test every step."""

from dataclasses import dataclass
from typing import Any

from napts.optim import vectors
from napts.optim.acceptance import RadiusRule
from napts.optim.objective import Point
from napts.optim.regions import Regions
from napts.optim.tracking.evidence import Evidence
from napts.optim.tracking.memory import ProbedStep
from napts.optim.tracking.rule import Probing, TrackingRule
from napts.optim.trials import Iteration


@dataclass(slots=True)
class Tracker:
    """Moves the radii by what whole iterations bring, on their own batch and on the next one.

    A probed iteration is judged by the step that it took in all, from where its batch found the
    parameters to where it left them: what the gradient promised for that step, what the batch
    gained, and what the next batch gained. The losses of its own batch are known. The next one is
    evaluated once more, at the start of the step.

    Attributes:
        rule: How far a radius moves.
        probing: Which iterations are probed.
        evidence: What probed steps brought.
        steps: Iterations so far.
        pending: The last step, if it was probed.
    """

    rule: TrackingRule
    probing: Probing
    evidence: Evidence
    steps: int = 0
    pending: ProbedStep | None = None

    def look_back(
        self, iteration: Iteration, start: Point, regions: Regions, bounds: RadiusRule
    ) -> None:
        """Measure the last step on this batch, if it was probed, and move the radii.

        Args:
            iteration: The iteration that begins.
            start: Its iterate; the parameters are left there.
            regions: The radii.
            bounds: Between which they stay.
        """
        last, self.pending = self.pending, None
        if last is None:
            return
        objective = iteration.objective
        probe = last.seen_by(objective, start)
        objective.layout.write(start.theta)
        self.evidence = self.evidence.with_probe(probe)
        regions.scale(self.rule.factor(probe.ratio, self.evidence.share, last.gain), bounds)

    def look_at(self, iteration: Iteration, start: Point) -> None:
        """Note the step that an iteration took, if it is to be probed and can be measured.

        Args:
            iteration: The iteration, at its end.
            start: The iterate at its beginning.
        """
        index, self.steps = self.steps, self.steps + 1
        accepted = [trial for trial in iteration.trials if trial.accepted]
        if not accepted or not self.probing.probes(index):
            return
        objective = iteration.objective
        step = vectors.subtract(objective.layout.read(), start.theta)
        (slope,) = objective.collect([(objective.slope(start, step), "sum")])
        pending = ProbedStep(
            theta=None,
            direction=step,
            length=1.0,
            promise=-slope,
            before=accepted[0].loss,
            after=accepted[-1].trial_loss,
            gain=self.probing.gain_of(index),
        )
        self.pending = pending if pending.measurable else None

    def adopt(self, other: "Tracker") -> None:
        """Take over what another one has seen."""
        self.rollback(other.mark())

    def forget(self) -> None:
        """Forget the last step: the set of trained parameters has changed."""
        self.pending = None

    def mark(self) -> tuple[Any, ...]:
        """Return what :meth:`rollback` needs; copies no vector."""
        return self.evidence, self.steps, self.pending

    def rollback(self, mark: tuple[Any, ...]) -> None:
        """Go back to where :meth:`mark` was called."""
        self.evidence, self.steps, self.pending = mark

    def state_dict(self) -> dict[str, Any]:
        """Return what was seen as numbers and vectors."""
        return {
            "evidence": self.evidence.state_dict(),
            "steps": self.steps,
            "pending": None if self.pending is None else self.pending.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a saved state."""
        pending = state["pending"]
        self.evidence = self.evidence.restored(state["evidence"])
        self.steps = state["steps"]
        self.pending = None if pending is None else ProbedStep.of(pending)
