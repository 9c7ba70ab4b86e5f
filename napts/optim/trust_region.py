"""The trust-region iteration, NAPTS Algorithm 1, of which every method is a composition.

The displayed form of the algorithm could not be recovered from the paper's text; the line numbers
used here are those of a reconstruction from its prose (README, "What is reconstructed").
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from napts.optim import vectors
from napts.optim.acceptance import promising
from napts.optim.correction import ConvexCombinations
from napts.optim.history import History
from napts.optim.local_model import FirstOrder, Step
from napts.optim.objective import NonFiniteLossError, Objective, Point
from napts.optim.passes import Passes
from napts.optim.radius import RadiusRule
from napts.optim.record import PassCounts, StepRecord, summarise
from napts.optim.schwarz import AdditiveSchwarz
from napts.optim.subdomains import Closure
from napts.optim.trials import AcceptanceTest, Iteration, Outcome
from napts.optim.vectors import Layout


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
        preconditioner: Where the proposal comes from; ``None`` for the plain trust region.
        correction: What is tried when the proposal fails.
        reevaluate: Measure the reference on the current batch.
        forget: Clear the memories at every new batch.
    """

    local_model: FirstOrder
    radius_rule: RadiusRule
    max_tries: int
    global_history: History
    proposal_history: History | None = None
    preconditioner: AdditiveSchwarz | None = None
    correction: ConvexCombinations | None = None
    reevaluate: bool = False
    forget: bool = False

    @property
    def histories(self) -> list[History]:
        """The distinct memories, in a fixed order."""
        pair = [self.global_history, self.proposal_history]
        return list({id(history): history for history in pair if history is not None}.values())


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
        self._radius: float = defaults["radius"]
        self._layout: Layout | None = None
        self._method = self._compose(self.param_groups[0])

    def _compose(self, options: dict[str, Any]) -> Composition:
        """Compose the method from its options."""
        raise NotImplementedError

    def _blocks(self) -> Sequence[Sequence[Tensor]]:
        """Return the parameters that are trained, block by block."""
        raise NotImplementedError

    @property
    def radius(self) -> float:
        """The current trust-region radius."""
        return self._radius

    @torch.no_grad()
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
        method, counts, radius = self._method, PassCounts(), self._radius
        objective = Objective(closure, self._current_layout(), method.local_model, counts)
        iteration = Iteration(objective, method.reevaluate)
        if method.forget:
            for history in method.histories:
                history.clear()

        schwarz = method.preconditioner
        start = point = objective.linearise(schwarz.captured if schwarz else None)  # line 4
        try:
            if schwarz is not None:
                point = self._preconditioned_phase(iteration, schwarz, start)  # lines 5 to 12
            self._global_phase(iteration, point)  # line 13
        except NonFiniteLossError:
            objective.layout.write(start.theta)
        except BaseException:
            # The closure failed at a trial (out of memory, an interrupt): do not leave it there.
            objective.layout.write(start.theta)
            raise

        loss = float(start.loss)
        self.last_step = summarise(loss, iteration.trials, counts, radius, self._radius)
        return loss

    def _preconditioned_phase(
        self, iteration: Iteration, schwarz: AdditiveSchwarz, start: Point
    ) -> Point:
        """Propose, test and correct, lines 5 to 12.

        Returns:
            The intermediate iterate: where the accepted step leads, else where it started.
        """
        objective, method = iteration.objective, self._method
        test = self._open_test(iteration, start, method.proposal_history, keep_graph=True)  # line 5
        proposed = schwarz.propose(objective, start, self._radius)  # lines 6 to 9
        vector = vectors.subtract(proposed, start.theta)
        proposal = Step(vector, start.model.reduction(vector))
        outcome = test.judge(proposal, "proposal", self._radius, 0.0, proposed)  # line 10
        if outcome.theta is None and method.correction is not None:
            promised = iteration.trials[-1].predicted_reduction
            outcome = self._correct(test, method.correction, start, Step(vector, promised))
        if method.proposal_history is not None:
            self._radius = method.radius_rule.update(self._radius, outcome.verdict)  # line 12
        if outcome.theta is None:
            objective.layout.write(start.theta)
            return start
        return objective.linearise_trial(outcome.theta, iteration.trials[-1].trial_loss)

    def _correct(
        self, test: AcceptanceTest, correction: ConvexCombinations, start: Point, proposal: Step
    ) -> Outcome:
        """Try convex combinations until one is accepted, line 11; return the last outcome."""
        outcome = None
        for weight, step in correction.candidates(start.model, proposal, self._radius):
            outcome = test.judge(step, "correction", self._radius, weight)
            if outcome.theta is not None:
                break
        assert outcome is not None
        return outcome

    def _global_phase(self, iteration: Iteration, point: Point) -> None:
        """Take a trust-region step, retried with smaller radii: line 13, and all of TR and NTR."""
        method, objective = self._method, iteration.objective
        test = self._open_test(iteration, point, method.global_history, keep_graph=False)
        for _ in range(method.max_tries):
            outcome = test.judge(objective.model_step(point, self._radius), "global", self._radius)
            before = self._radius
            self._radius = method.radius_rule.update(before, outcome.verdict)
            if outcome.theta is not None:
                return
            # At the smallest radius the next try would be this trial again; and a step that
            # promises nothing promises no more when it is shorter.
            if self._radius == before or not promising(iteration.trials[-1].predicted_reduction):
                break
        objective.layout.write(point.theta)

    def _open_test(
        self, iteration: Iteration, point: Point, history: History | None, *, keep_graph: bool
    ) -> AcceptanceTest:
        eta = self._method.radius_rule.eta_1
        return AcceptanceTest(iteration, point, history, eta, keep_graph=keep_graph)

    def _current_layout(self) -> Layout:
        """Return the layout of the parameters that require a gradient now."""
        blocks = self._blocks()
        layout = self._layout
        trained = [id(p) for block in blocks for p in block]
        if layout is None or trained != [id(p) for p in layout.parameters]:
            layout = self._layout = Layout(blocks)
        return layout

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain numbers and tensors, radius and memories included."""
        self.state[self._anchor] = {
            "radius": self._radius,
            "histories": [history.state_dict() for history in self._method.histories],
        }
        return super().state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the options and the state of another optimizer of the same method."""
        super().load_state_dict(state_dict)
        self._method = self._compose(self.param_groups[0])
        state = self.state.get(self._anchor)
        if not state:
            return
        self._radius = state["radius"]
        for history, saved in zip(self._method.histories, state["histories"], strict=True):
            history.load_state_dict(saved)

    @property
    def _anchor(self) -> Tensor:
        # torch keys state by parameter; what belongs to all of them hangs on the first one.
        return self.param_groups[0]["params"][0]

    def __getstate__(self) -> dict[str, Any]:
        own = {name: self.__dict__[name] for name in ("last_step", "_radius")}
        return {**super().__getstate__(), **own, "_method": self._method, "_layout": None}
