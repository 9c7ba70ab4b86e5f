"""The methods as torch optimizers: steps, options, parameters that come and go, states."""

import math
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from napts.optim import calls
from napts.optim.acceptance import RadiusRule
from napts.optim.algorithm import Algorithm
from napts.optim.batch import Batch, as_batch
from napts.optim.composition import Composition
from napts.optim.group_options import GroupOptions, check_radius, completed
from napts.optim.objective import NonFiniteLossError, Objective
from napts.optim.record import PassCounts, summarise
from napts.optim.regions import Regions
from napts.optim.relayout import Move, fitted
from napts.optim.step_context import StepContext
from napts.optim.step_hooks import with_step_hooks
from napts.optim.subdomains import Closure
from napts.optim.trained import VectorOptimizer
from napts.optim.trials import Iteration
from napts.optim.vectors import Layout
from napts.optim.weight_decay import Decay, check_weight_decay


class TrustRegionOptimizer(VectorOptimizer):
    """Base of TR, NTR, APTS, APTSA and NAPTS: one iteration for all of them.

    A subclass defines how its options compose a method and which blocks its vectors have.

    Args:
        params: Parameters or parameter groups.
        defaults: All constructor options, kept in ``param_groups`` as torch's optimizers do.
    """

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        super().__init__(params, {**defaults, "lr": 1.0})
        self.last_step = None
        self._context = StepContext()
        self._warned_of_gradients = False
        self._options = GroupOptions(type(self), self.defaults)
        for group in self.param_groups:
            check_weight_decay(group["weight_decay"])
        self._method = self._compose(self.param_groups[0])
        self._regions = Regions(
            defaults["radius"], shared=self._method.shared_radius, floor=defaults["radius_floor"]
        )
        self._take_options()

    def _compose(self, options: dict[str, Any]) -> Composition:
        """Compose the method from its options."""
        raise NotImplementedError

    @property
    def radius(self) -> float:
        """The current trust-region radius; that of the global step if proposals have their own.

        Setting it to a number between the smallest and the largest radius sets both.
        """
        return self._regions.whole.radius

    @radius.setter
    def radius(self, value: float) -> None:
        self._follow_options()
        check_radius(value, self._rule.minimum, self._rule.maximum)
        self._regions.set(float(value))

    @property
    def real_share(self) -> float | None:
        """The share of recent promises that the next batches confirmed, in [0, 1].

        ``None`` where the radius follows the ratios of trials, ``radius_rule="ratio"``.
        """
        self._follow_options()
        tracker = self._method.tracker
        return None if tracker is None else tracker.evidence.share

    @with_step_hooks
    def step(self, closure: Closure | Batch | None = None) -> float:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Perform one iteration of Algorithm 1 on one batch (lines 4 to 13).

        Args:
            closure: Computes the loss of the batch and returns it; it does not call
                ``backward()``. It is called several times and must depend only on the parameters,
                the batch, and torch's random generators (which are replayed). Alternatively a
                :class:`napts.Batch`, parts of which can be evaluated too; for a network that is
                spread over ranks, what ``pipeline.batch(inputs, targets)`` returns.

        Returns:
            ``f_B(theta_k)``, the loss before the step, including any weight decay that is part of
            it. If it is NaN or infinite, no step is taken.

        Raises:
            ValueError: If there is no closure, if it calls ``backward()`` or does not return a
                scalar tensor, or if an edited option is out of range.
            Exception: Whatever the closure raises; parameters, radius and memories are then those
                before the step.
        """
        batch = as_batch(closure)
        self._follow_options()
        layout, local = self._current_layout(), self._method.preconditioner
        if layout.parameters[0].grad is not None:
            self._warn_of_gradients()
        method, counts, radius = self._method, PassCounts(), self.radius
        objective = Objective(
            batch,
            layout,
            method.local_model,
            counts,
            self._context,
            self._decay.penalty,
            parts=local.parts if local else 0,
        )
        iteration, mark = Iteration(objective, method.reevaluate), self._mark()
        if self._rule.maximum == 0.0:
            return self._stand_still(objective, mark)
        before = start = None
        try:
            before = self._decay.apply(layout)
            start = objective.linearise(local.captured if local else None)  # line 4
            iteration.start = start.theta
            Algorithm(method, self._regions, self._rule).run(iteration, start)  # lines 5 to 13
            # A gradient that is not finite, as its promise shows, is not to be remembered.
            if local is not None and math.isfinite(iteration.trials[0].predicted_reduction):
                local.commit()
        except BaseException as error:
            # The loss is not finite, or the closure failed at a trial (out of memory, an
            # interrupt): leave no trace.
            if (origin := before or (start and start.theta)) is not None:
                layout.write(origin)
            self._rollback(mark)
            if start is None or not isinstance(error, NonFiniteLossError):
                raise
        loss = float(start.loss)
        self.last_step = summarise(loss, iteration.trials, counts, radius, self.radius)
        # At the end: a warning may be an error.
        self._regions.account(iteration.trials, self._rule, type(self).__name__)
        return loss

    def _stand_still(self, objective: Objective, mark: list[Any]) -> float:
        """Measure the loss and do nothing else: the largest radius is 0."""
        try:
            start = objective.linearise(None)
            with suppress(NonFiniteLossError):
                objective.loss_of(start)
        finally:
            self._rollback(mark)
        loss = float(start.loss)
        self.last_step = summarise(loss, [], objective.counts, self.radius, self.radius)
        return loss

    def _mark(self) -> list[Any]:
        """Return what :meth:`_rollback` needs; copies no vector."""
        method = self._method
        memories = [self._regions, method.local_model, *method.histories]
        memories += [] if method.tracker is None else [method.tracker]
        return [(memory, memory.mark()) for memory in memories]

    @staticmethod
    def _rollback(marks: list[Any]) -> None:
        """Reset radii and memories to where :meth:`_mark` was called."""
        for memory, mark in marks:
            memory.rollback(mark)

    def _move(self, move: Move, layout: Layout) -> None:
        """Let the memories follow a change of the trained parameters.

        Remembered iterates are completed with the current values, Adam's moments are kept for
        unchanged blocks, and pairs of steps and changes of the gradient are forgotten, as is a step
        that waits for its next batch (our choices).
        """
        for history in self._method.histories:
            history.move(move)
        self._method.local_model.forget()
        if self._method.tracker is not None:
            self._method.tracker.forget()
        if self._method.preconditioner is not None:
            self._method.preconditioner.relayout(move.sources, layout)

    def _follow_options(self) -> None:
        """Apply edits of the parameter groups, made by hand or by a scheduler."""
        if self._options.unchanged(self.param_groups):
            return
        changed = self._options.update_from(self.param_groups)
        if changed:
            before, self._method = self._method, self._compose(self.param_groups[0])
            _hand_over(before, self._method)
        self._regions.share(shared=self._method.shared_radius)
        if "radius" in changed:
            self._regions.set(self.param_groups[0]["radius"])
        self._take_options()

    def _take_options(self) -> None:
        """Take over what the groups set besides the method: factor, bounds, floor and decay."""
        first = self.param_groups[0]
        self._options.note(self.param_groups)
        self._rule = _scaled(self._method.trial_rule, float(first["lr"]))
        self._regions.floor = first["radius_floor"]
        if self._rule.maximum > 0.0:
            self._regions.keep_within(self._rule)
        if self._layout is not None:
            self._decay = Decay(self.param_groups, self._layout)

    def _warn_of_gradients(self) -> None:
        if not self._warned_of_gradients:
            self._warned_of_gradients = True
            calls.warn_of_gradients(type(self).__name__)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters, with the options of the existing groups."""
        super().add_param_group(self._with_shared_options(param_group))

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain numbers and tensors, radius and memories included."""
        self._follow_options()
        preconditioner = self._method.preconditioner
        self.state[self._anchor] = {
            **self._regions.state_dict(),
            **self._blocks_if_some_are_frozen(),
            "histories": [history.state_dict() for history in self._method.histories],
            "moments": {} if preconditioner is None else preconditioner.state_dict(),
            "local_model": self._method.local_model.state_dict(),
        }
        if self._method.tracker is not None:
            self.state[self._anchor]["tracking"] = self._method.tracker.state_dict()
        return super().state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the options and the state of another optimizer of the same method.

        Options that an older state lacks keep their current values. Tensors are moved to the
        devices and dtypes of the parameters they belong to.

        Raises:
            ValueError: If the state does not fit the parameters.
        """
        known = dict(self.param_groups[0])
        state = self._loaded(state_dict)
        completed(self.param_groups, known, self._options.names)
        self._method = self._compose(self.param_groups[0])
        self._layout = self._remembered = None
        if state:
            self._take_state(state)
        else:
            self._regions.share(shared=self._method.shared_radius)
        self._take_options()

    def _take_state(self, state: dict[str, Any]) -> None:
        """Take over the state of all parameters."""
        self._remembered = state.get("blocks")
        layout = self._last_layout() or Layout(self._blocks())
        state = fitted({name: v for name, v in state.items() if name != "blocks"}, layout)
        self._remembered = self._indices_of(layout)
        self._regions = Regions(
            state["radius"],
            shared=self._method.shared_radius,
            floor=self.param_groups[0]["radius_floor"],
        )
        self._regions.load_state_dict(state)
        for history, saved in zip(self._method.histories, state["histories"], strict=True):
            history.load_state_dict(saved)
        if model := state.get("local_model"):
            self._method.local_model.load_state_dict(model)
        if self._method.tracker is not None and "tracking" in state:
            self._method.tracker.load_state_dict(state["tracking"])
        if self._method.preconditioner is not None:
            self._method.preconditioner.load_state_dict(state.get("moments", {}))

    def __getstate__(self) -> dict[str, Any]:
        names = (
            "last_step",
            "_method",
            "_regions",
            "_rule",
            "_options",
            "_warned_of_gradients",
            "_context",
        )
        own = {name: self.__dict__[name] for name in names}
        return {**super().__getstate__(), **own}


def _scaled(rule: RadiusRule, factor: float) -> RadiusRule:
    """Return the rule with the largest radius times a factor, and the smallest radius no larger."""
    if factor == 1.0:
        return rule
    largest = factor * rule.maximum
    return replace(rule, minimum=min(rule.minimum, largest), maximum=largest)


def _hand_over(before: Composition, after: Composition) -> None:
    """Let a newly composed method keep the memories of the old one, if they are of one kind."""
    after.global_history.adopt(before.global_history)
    ours, theirs = after.proposal_history, before.proposal_history
    if ours is not None and ours is not after.global_history and theirs is not None:
        ours.adopt(theirs)
    if type(after.local_model) is type(before.local_model):
        after.local_model.load_state_dict(before.local_model.state_dict())
    if after.tracker is not None and before.tracker is not None:
        after.tracker.adopt(before.tracker)
    if after.preconditioner is not None and before.preconditioner is not None:
        after.preconditioner.load_state_dict(before.preconditioner.state_dict())
