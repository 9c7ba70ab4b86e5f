"""The trust-region iteration, NAPTS Algorithm 1, of which every method is a composition.

The displayed form of the algorithm could not be recovered from the paper's text; the line numbers
used here are those of a reconstruction from its prose (docs/explanation/reconstructed.md).
"""

from dataclasses import dataclass

from napts.optim import vectors
from napts.optim.acceptance import RadiusRule
from napts.optim.composition import Composition
from napts.optim.correction import Rejected
from napts.optim.history import History
from napts.optim.local_model import Step
from napts.optim.objective import Point
from napts.optim.preconditioner import Preconditioner
from napts.optim.regions import Region, Regions, promised
from napts.optim.trials import AcceptanceTest, Iteration, Outcome
from napts.optim.vectors import Vector


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One iteration of a method.

    Attributes:
        method: The method.
        regions: Its radii.
        rule: How they follow the ratios at present; a schedule may change it.
    """

    method: Composition
    regions: Regions
    rule: RadiusRule

    def run(self, iteration: Iteration, start: Point) -> None:
        """Perform lines 5 to 13 from an iterate with its gradient."""
        method, point = self.method, start
        if method.forget:
            for history in method.histories:
                history.clear()
        if method.tracker is not None:
            method.tracker.look_back(iteration, start, self.regions, self.rule)
        if method.preconditioner is not None:
            point = self._preconditioned_phase(iteration, method.preconditioner, start)
        if point is not None:
            self._global_phase(iteration, point)
        if method.tracker is not None:
            method.tracker.look_at(iteration, start)

    def _preconditioned_phase(
        self, iteration: Iteration, preconditioner: Preconditioner, start: Point
    ) -> Point | None:
        """Propose, test and correct, lines 5 to 12.

        Returns:
            The intermediate iterate, from which the global step starts: where the accepted step
            leads or, if none was accepted, where it started. ``None`` if no global step follows.
        """
        objective, method = iteration.objective, self.method
        goes_on = method.global_step == "always"
        test = self._open_test(
            iteration,
            start,
            method.proposal_history,
            keep_graph=goes_on,
            forced_decrease=method.forced_decrease,
        )
        radius = self.regions.proposals.radius
        proposed, promise = preconditioner.propose(objective, start, radius)  # lines 6 to 9
        vector = vectors.subtract(proposed, start.theta)
        proposal = Step(vector, start.model.reduction(vector) if promise is None else promise)
        outcome = self._settle(iteration, test, start, proposal, proposed)  # lines 10 to 12
        if not outcome.accepted:
            objective.layout.write(start.theta)
            return None if method.global_step == "never" else start
        if not goes_on:
            return None
        assert outcome.theta is not None
        return objective.linearise_trial(outcome.theta, iteration.trials[-1].trial_loss)

    def _settle(
        self,
        iteration: Iteration,
        test: AcceptanceTest,
        start: Point,
        proposal: Step,
        proposed: Vector,
    ) -> Outcome:
        """Test the proposal, correct it if it fails, and update the radius: lines 10 to 12."""
        method, region = self.method, self.regions.proposals
        correction, made_for = method.correction, region.radius
        each = correction is not None and correction.each_moves_radius

        def is_last(outcome: Outcome) -> bool:
            if each:
                self._update(iteration, region, outcome)
            return outcome.accepted or (each and not promised(iteration.trials[-1]))

        outcome = test.judge(proposal, "proposal", made_for, 0.0, proposed)
        if not is_last(outcome) and correction is not None:
            rejected = Rejected(proposal, iteration.trials[-1].predicted_reduction, made_for)
            for step, radius, weight, last in correction.candidates(start.model, rejected, region):
                outcome = test.judge(step, "correction", radius, weight, last=last)
                if is_last(outcome):
                    break
        if not each and method.proposal_history is not None:
            self._update(iteration, region, outcome)
        return outcome

    def _global_phase(self, iteration: Iteration, point: Point) -> None:
        """Take a trust-region step, retried with smaller radii: line 13, and all of TR and NTR."""
        objective, region = iteration.objective, self.regions.whole
        test = self._open_test(iteration, point, self.method.global_history, keep_graph=False)
        for _ in range(self.method.max_tries):
            radius = region.radius
            outcome = test.judge(objective.model_step(point, radius), "global", radius)
            self._update(iteration, region, outcome)
            if outcome.accepted:
                return
            # At the smallest radius the next try would be this trial again; and a step that
            # promises nothing promises no more when it is shorter.
            again = region.radius == radius and self.regions.floor != "repeated"
            if again or not promised(iteration.trials[-1]):
                break
        objective.layout.write(point.theta)

    def _update(self, iteration: Iteration, region: Region, outcome: Outcome) -> None:
        """Update a radius after a trial."""
        assert iteration.start is not None
        objective, at = iteration.objective, iteration.start
        self.regions.update(region, outcome.verdict, self.rule, objective, at)

    def _open_test(
        self,
        iteration: Iteration,
        point: Point,
        history: History | None,
        *,
        keep_graph: bool,
        forced_decrease: bool = False,
    ) -> AcceptanceTest:
        return AcceptanceTest(
            iteration,
            point,
            history,
            self.method.radius_rule.eta_1,
            keep_graph=keep_graph,
            forced_decrease=forced_decrease,
        )
