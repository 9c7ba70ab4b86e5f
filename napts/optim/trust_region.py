"""The trust-region iteration, NAPTS Algorithm 1, of which every method is a composition.

The displayed form of the algorithm could not be recovered from the paper's text; the line numbers
used here are those of a reconstruction from its prose (README, "What is reconstructed").
"""

import math
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from torch import Tensor
from torch.optim import Optimizer

from napts.optim import vectors
from napts.optim.acceptance import promising
from napts.optim.correction import Correction, Mixtures, ShrinkingRadius
from napts.optim.history import History
from napts.optim.local_model import ModelFamily, Step
from napts.optim.objective import NonFiniteLossError, Objective, Point
from napts.optim.passes import Passes
from napts.optim.preconditioner import Preconditioner
from napts.optim.radius import RadiusRule
from napts.optim.record import PassCounts, StepRecord, summarise
from napts.optim.step_context import StepContext
from napts.optim.step_hooks import with_step_hooks
from napts.optim.subdomains import Closure
from napts.optim.trials import AcceptanceTest, Iteration, Outcome
from napts.optim.vectors import Layout, Vector

GlobalStep = Literal["always", "on_failure", "never"]


@dataclass(frozen=True, slots=True)
class Composition:
    """A method, as a choice from the four families and the rules they share.

    Attributes:
        local_model: What a step promises.
        radius_rule: How the radius follows the ratios; holds the acceptance threshold.
        max_tries: Tries of the global step on one batch.
        global_history: The memory with which the global step is judged.
        proposal_history: The memory with which proposals and corrections are judged. ``None``
            accepts every proposal that has a finite loss and leaves the radius alone.
        forced_decrease: Proposals and corrections are judged by whether the loss does not grow,
            without memory or promise, and leave the radius alone.
        preconditioner: Where the proposal comes from; ``None`` for the plain trust region.
        correction: What is tried when the proposal fails.
        global_step: When the global step follows the preconditioned phase: ``"always"`` (the
            paper), after a failed phase (``"on_failure"``), or ``"never"``.
        shared_radius: Proposals and global steps have one radius; else each phase its own, which
            starts at the same value.
        reevaluate: Measure the reference on the current batch.
        forget: Clear the memories at every new batch.
    """

    local_model: ModelFamily
    radius_rule: RadiusRule
    max_tries: int
    global_history: History
    proposal_history: History | None = None
    forced_decrease: bool = False
    preconditioner: Preconditioner | None = None
    correction: Correction | None = None
    global_step: GlobalStep = "always"
    shared_radius: bool = True
    reevaluate: bool = False
    forget: bool = False

    @property
    def histories(self) -> list[History]:
        """The distinct memories, in a fixed order."""
        pair = [self.global_history, self.proposal_history]
        return list({id(history): history for history in pair if history is not None}.values())


@dataclass(slots=True)
class _Region:
    """A trust region, as one or both phases have it."""

    radius: float


class _Try(Protocol):
    """Judges the step for the present radius."""

    def __call__(self, *, first: bool) -> Outcome: ...


class TrustRegionOptimizer(Optimizer):
    """Base of TR, NTR, APTS, APTSA and NAPTS: one iteration for all of them.

    A subclass says how its options compose a method and which blocks its vectors have.

    Args:
        params: Parameters or parameter groups.
        defaults: All constructor options, kept in ``param_groups`` as torch's optimizers do.
    """

    last_step: StepRecord | None
    """Record of the latest iteration; ``None`` before the first one."""

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        super().__init__(params, defaults)
        self.last_step = None
        self._layout: Layout | None = None
        self._context = StepContext()
        self._method = self._compose(self.param_groups[0])
        self._set_regions(defaults["radius"])

    def _set_regions(self, radius: float, for_proposals: float | None = None) -> None:
        self._region = self._proposal_region = _Region(radius)
        if not self._method.shared_radius:
            self._proposal_region = _Region(radius if for_proposals is None else for_proposals)

    def _compose(self, options: dict[str, Any]) -> Composition:
        """Compose the method from its options."""
        raise NotImplementedError

    def _blocks(self) -> Sequence[Sequence[Tensor]]:
        """Return the parameters that are trained, block by block."""
        raise NotImplementedError

    def _evaluated(self, closure: Closure | Passes) -> Closure | Passes:
        """Return how the batch is evaluated, given what ``step`` was given."""
        return closure

    @property
    def radius(self) -> float:
        """The current trust-region radius; that of the global step if proposals have their own."""
        return self._region.radius

    @with_step_hooks
    def step(self, closure: Closure | Passes) -> float:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Perform one iteration of Algorithm 1 on one batch (lines 4 to 13).

        Args:
            closure: Computes the loss of the batch and returns it; it does not call
                ``backward()``. It is called several times and must depend on nothing but the
                parameters, the batch, and torch's random generators (which are replayed). For
                a network that is spread over ranks: what ``pipeline.batch(inputs, targets)``
                returns.

        Returns:
            ``f_B(theta_k)``, the loss before the step. If it is NaN or infinite, no step is
            taken.

        Raises:
            ValueError: If the closure calls ``backward()`` or does not return a scalar tensor.
            Exception: Whatever the closure raises; the parameters are then those before the step.
        """
        method, counts, radius = self._method, PassCounts(), self.radius
        passes = self._evaluated(closure)
        objective = Objective(
            passes, self._current_layout(), method.local_model, counts, self._context
        )
        iteration = Iteration(objective, method.reevaluate)
        if method.forget:
            for history in method.histories:
                history.clear()

        local = method.preconditioner
        start = point = objective.linearise(local.captured if local else None)  # line 4
        try:
            if local is not None:
                point = self._preconditioned_phase(iteration, local, start)  # lines 5 to 12
            if point is not None:
                self._global_phase(iteration, point)  # line 13
        except NonFiniteLossError:
            objective.layout.write(start.theta)
        except BaseException:
            # The closure failed at a trial (out of memory, an interrupt): do not leave it there.
            objective.layout.write(start.theta)
            raise

        loss = float(start.loss)
        self.last_step = summarise(loss, iteration.trials, counts, radius, self.radius)
        return loss

    def _preconditioned_phase(
        self, iteration: Iteration, preconditioner: Preconditioner, start: Point
    ) -> Point | None:
        """Propose, test and correct, lines 5 to 12.

        Returns:
            The intermediate iterate, from which the global step is to be taken: where the
            accepted step leads, else where it started. ``None`` if no global step follows.
        """
        objective, method = iteration.objective, self._method
        goes_on = method.global_step == "always"
        test = self._open_test(
            iteration,
            start,
            method.proposal_history,
            keep_graph=goes_on,
            forced_decrease=method.forced_decrease,
        )
        radius = self._proposal_region.radius
        proposed, promised = preconditioner.propose(objective, start, radius)  # lines 6 to 9
        vector = vectors.subtract(proposed, start.theta)
        if promised is None:
            promised = start.model.reduction(vector)
        proposal = Step(vector, promised)
        outcome = self._settle(iteration, test, start, proposal, proposed)  # lines 10 to 12
        if math.isfinite(iteration.trials[0].predicted_reduction):  # the gradient is finite, too
            preconditioner.commit()
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
        method, region = self._method, self._proposal_region
        made_for = region.radius

        def try_proposal() -> Outcome:
            return test.judge(proposal, "proposal", made_for, 0.0, proposed)

        def try_for_radius(*, first: bool) -> Outcome:
            if first:
                return try_proposal()
            shorter = start.model.shorten(proposal, region.radius / made_for)
            return test.judge(shorter, "correction", region.radius)

        if isinstance(method.correction, ShrinkingRadius):
            return self._shrink_until_accepted(
                iteration, region, method.correction.max_tries, try_for_radius
            )
        outcome = try_proposal()
        if not outcome.accepted and method.correction is not None:
            promised = iteration.trials[-1].predicted_reduction
            known = replace(proposal, predicted_reduction=promised)
            outcome = self._mix(test, method.correction, start, known)
        if method.proposal_history is not None:
            region.radius = method.radius_rule.update(region.radius, outcome.verdict)
        return outcome

    def _mix(
        self, test: AcceptanceTest, mixtures: Mixtures, start: Point, proposal: Step
    ) -> Outcome:
        """Try convex combinations until one is accepted, line 11; return the last outcome."""
        outcome, radius = None, self._proposal_region.radius
        for mixed in mixtures.candidates(start.model, proposal, radius):
            outcome = test.judge(
                mixed.step, "correction", mixed.radius, mixed.weight, last=mixed.last
            )
            if outcome.accepted:
                break
        assert outcome is not None
        return outcome

    def _global_phase(self, iteration: Iteration, point: Point) -> None:
        """Take a trust-region step, retried with smaller radii: line 13, and all of TR and NTR."""
        objective, region = iteration.objective, self._region
        test = self._open_test(iteration, point, self._method.global_history, keep_graph=False)

        def try_for_radius(*, first: bool) -> Outcome:
            return test.judge(objective.model_step(point, region.radius), "global", region.radius)

        tries = self._method.max_tries
        outcome = self._shrink_until_accepted(iteration, region, tries, try_for_radius)
        if not outcome.accepted:
            objective.layout.write(point.theta)

    def _shrink_until_accepted(
        self, iteration: Iteration, region: _Region, max_tries: int, try_for_radius: _Try
    ) -> Outcome:
        """Try a step for the radius, and for smaller radii as long as it fails."""
        outcome = None
        for attempt in range(max_tries):
            outcome, before = try_for_radius(first=attempt == 0), region.radius
            region.radius = self._method.radius_rule.update(before, outcome.verdict)
            # At the smallest radius the next try would be this trial again; and a step that
            # promises nothing promises no more when it is shorter.
            promised, loss = iteration.trials[-1].predicted_reduction, iteration.trials[-1].loss
            if outcome.accepted or region.radius == before or not promising(promised, loss):
                break
        assert outcome is not None
        return outcome

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
            self._method.radius_rule.eta_1,
            keep_graph=keep_graph,
            forced_decrease=forced_decrease,
        )

    def _current_layout(self) -> Layout:
        """Return the layout of the parameters that require a gradient now."""
        layout = self._layout
        trained = [p for group in self.param_groups for p in group["params"] if p.requires_grad]
        same = layout is not None and len(trained) == len(layout.parameters)
        if layout is None or not (same and all(map(operator.is_, trained, layout.parameters))):
            layout = self._layout = Layout(self._blocks())
        return layout

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain numbers and tensors, radius and memories included."""
        preconditioner = self._method.preconditioner
        self.state[self._anchor] = {
            "radius": self.radius,
            "proposal_radius": self._proposal_region.radius,
            "histories": [history.state_dict() for history in self._method.histories],
            "moments": {} if preconditioner is None else preconditioner.state_dict(),
            "local_model": self._method.local_model.state_dict(),
        }
        return super().state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the options and the state of another optimizer of the same method."""
        super().load_state_dict(state_dict)
        self._method = self._compose(self.param_groups[0])
        state = self.state.get(self._anchor)
        if not state:
            return
        self._set_regions(state["radius"], state.get("proposal_radius"))
        for history, saved in zip(self._method.histories, state["histories"], strict=True):
            history.load_state_dict(saved)
        if model := state.get("local_model"):
            self._method.local_model.load_state_dict(model)
        if self._method.preconditioner is not None:
            self._method.preconditioner.load_state_dict(state.get("moments", {}))

    @property
    def _anchor(self) -> Tensor:
        # torch keys state by parameter; what belongs to all of them hangs on the first one.
        return self.param_groups[0]["params"][0]

    def __getstate__(self) -> dict[str, Any]:
        names = ("last_step", "_region", "_proposal_region", "_context")
        own = {name: self.__dict__[name] for name in names}
        return {**super().__getstate__(), **own, "_method": self._method, "_layout": None}
