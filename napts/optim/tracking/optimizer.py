"""Base of methods whose radius tracks evidence: their steps, options and states."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from napts.optim import calls
from napts.optim.acceptance import FAILED, Verdict
from napts.optim.batch import Batch, as_batch
from napts.optim.communicator import Share
from napts.optim.group_options import GroupOptions, check_group, check_radius, completed
from napts.optim.iterate_average import IterateAverage
from napts.optim.local_model import FirstOrder
from napts.optim.moments import KeptMoments, Moments
from napts.optim.objective import Objective, Point
from napts.optim.record import PassCounts, Trial, summarise
from napts.optim.relayout import Move, fitted
from napts.optim.step_context import StepContext
from napts.optim.step_hooks import with_step_hooks
from napts.optim.subdomains import Closure
from napts.optim.tracking.evidence import Evidence, ratio
from napts.optim.tracking.memory import Memory, ProbedStep
from napts.optim.tracking.rule import Probing, TrackingRule
from napts.optim.trained import VectorOptimizer
from napts.optim.vectors import Layout, Vector
from napts.optim.weight_decay import Decay, check_weight_decay

_NO_HISTORY = (math.nan, 1.0)


class TrackingOptimizer(VectorOptimizer):
    """A method with a direction from moments and a radius that tracks evidence.

    Args:
        params: Parameters or parameter groups.
        options: The options, as the constructor got them.
    """

    def __init__(self, params: Iterable[Any], options: Mapping[str, Any], /) -> None:
        complete = self._completed(options)
        super().__init__(params, {**complete, "lr": 1.0})
        self.last_step = None
        self._context = StepContext()
        self._warned_of_gradients = False
        self._iterate: Vector | None = None
        self._moments = KeptMoments()
        self._average = IterateAverage(complete["average"] or 0.0)
        self._memory = Memory(complete["radius"], Evidence(complete["memory"]))
        self._options = GroupOptions(type(self), self.defaults)
        for group in self.param_groups:
            check_weight_decay(group["weight_decay"])
        self._take_options()

    @property
    def radius(self) -> float:
        """The trust-region radius, a factor of the direction; setting it starts from there."""
        return self._memory.radius

    @radius.setter
    def radius(self, value: float) -> None:
        self._follow_options()
        check_radius(value, self._rule.minimum, self._rule.maximum)
        self._memory = replace(self._memory, radius=float(value))

    @property
    def real_share(self) -> float:
        """The share of recent promises that the next batches confirmed, in [0, 1]."""
        return self._memory.evidence.share

    @with_step_hooks
    def step(self, closure: Closure | Batch | None = None) -> float:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Perform one step on one batch.

        Args:
            closure: Computes the loss of the batch and returns it; it does not call
                ``backward()``. Alternatively a :class:`napts.Batch`, or what
                ``pipeline.batch(inputs, targets)`` returns.

        Returns:
            The loss before the step, including any weight decay that is part of it. If it is NaN
            or infinite, the parameters go back to those before the last step.

        Raises:
            RuntimeError: If the parameters are those of :meth:`eval_mode`.
            ValueError: If there is no closure, if it calls ``backward()`` or does not return a
                scalar tensor, or if an edited option is out of range.
            Exception: Whatever the closure raises; parameters and memories are then those before
                the step.
        """
        batch = as_batch(closure)
        if self._iterate is not None:
            name = type(self).__name__
            raise RuntimeError(
                f"{name}: found evaluation mode, allowed: call train_mode() before step"
            )
        self._follow_options()
        layout = self._current_layout()
        if layout.parameters[0].grad is not None and not self._warned_of_gradients:
            self._warned_of_gradients = True
            calls.warn_of_gradients(type(self).__name__)
        counts, memory = PassCounts(), self._memory
        objective = Objective(
            batch, layout, FirstOrder(), counts, self._context, self._decay.penalty
        )
        start = None
        try:
            start = objective.linearise(None)
            loss, trials, accepted = self._advance(objective, start, layout)
        except BaseException:
            if start is not None:
                layout.write(start.theta)
            self._memory = memory
            raise
        record = summarise(loss, trials, counts, memory.radius, self.radius)
        self.last_step = replace(record, accepted=accepted)
        return loss

    def _advance(
        self, objective: Objective, start: Point, layout: Layout
    ) -> tuple[float, list[Trial], bool]:
        """Learn from the last step, if it was probed, and take the next one.

        Returns:
            The loss at the start, the trial if it was judged, and whether the step was taken.
        """
        self._look_back(objective, start)
        memory = self._memory
        length, probed = self._lr * memory.radius, self._probing.probes(memory.steps)
        if length == 0.0:
            layout.write(start.theta)
            return objective.collect([(start.loss, "sum")])[0], [], False
        direction = self._direction(start.model.gradient, layout)
        layout.write_sum(self._decayed(start.theta, layout), length, direction)
        shares: list[Share] = [(start.loss, "sum"), (objective.slope(start, direction), "sum")]
        if probed:
            shares.append((objective.loss_here(keep_graph=False), "loss"))
        loss, slope, *after = objective.collect(shares)
        promise = -length * slope
        if not (math.isfinite(loss) and math.isfinite(promise)):
            self._go_back(start, layout)
            return loss, [], False
        self._moments.commit()
        self._memory = replace(memory, steps=memory.steps + 1, pending=None, previous=start.theta)
        if not after or promise <= 0.0:
            self._average_in(layout)
            return loss, [], True
        gain = self._probing.gain_of(memory.steps)
        step = ProbedStep(start.theta, direction, length, promise, loss, after[0], gain)
        trial = self._judge(step, layout)
        return loss, [trial], trial.accepted

    def _look_back(self, objective: Objective, start: Point) -> None:
        """Measure the last step on this batch, if it was probed, and move the radius.

        The parameters may be left where that step started.
        """
        last = self._memory.pending
        if last is None:
            return
        probe = last.seen_by(objective, start)
        evidence = self._memory.evidence.with_probe(probe)
        radius = self._rule.update(self.radius, probe.ratio, evidence.share, last.gain)
        self._memory = replace(self._memory, evidence=evidence, radius=radius)

    def _judge(self, step: ProbedStep, layout: Layout) -> Trial:
        """Accept a probed step, or go back; note it for the next batch if it can be measured."""
        kept = ratio(step.before - step.after, step.promise)
        accepted = kept >= self._reject_below
        radius = self.radius
        if accepted:
            self._memory = replace(self._memory, pending=step if step.measurable else None)
            self._average_in(layout)
        else:
            assert step.theta is not None
            self._memory = replace(self._memory, radius=self._rule.shrunk(radius))
            layout.write(step.theta)
        finite = math.isfinite(kept)
        current = (step.before - step.after, step.promise) if finite else FAILED.current
        verdict = Verdict(accepted, False, current, _NO_HISTORY)
        return verdict.on("global", radius, step.before, step.after, step.promise, math.nan)

    def _go_back(self, start: Point, layout: Layout) -> None:
        """Leave an iterate whose loss or gradient is not finite, for the one before it."""
        memory = self._memory
        layout.write(start.theta if memory.previous is None else memory.previous)
        radius = self._rule.shrunk(memory.radius)
        self._memory = replace(memory, radius=radius, pending=None, previous=None)

    def _direction(self, gradient: Vector, layout: Layout) -> Vector:
        """Return the direction of a step; the moments are kept once the step has been judged."""
        moments = self._moments.begin(gradient)
        direction = [torch.empty_like(flat) for flat in gradient]
        for own, flat, out in zip(moments, gradient, direction, strict=True):
            own.update(flat, out, self._betas, self._eps)
        self._moments.propose(moments, change=False)
        self._turn(direction, moments, layout)
        return direction

    def _turn(self, direction: Vector, moments: Sequence[Moments], layout: Layout) -> None:
        """Change Adam's direction in place, if the method has another one."""

    def _decayed(self, theta: Vector, layout: Layout) -> Vector:
        """Return where a step starts after the decoupled weight decay, if there is any."""
        if not self._decay.decoupled:
            return theta
        layout.write(theta)
        self._decay.apply(layout)
        return layout.read()

    def _average_in(self, layout: Layout) -> None:
        if self.param_groups[0]["average"] is not None:
            self._average.add(layout)

    # --- evaluation -----------------------------------------------------------------------------

    @torch.no_grad()
    def eval_mode(self) -> None:
        """Put the average of the iterates into the parameters, where the method is evaluated."""
        if self._iterate is None and self._average.vector is not None:
            layout = self._current_layout()
            self._iterate = layout.read()
            layout.write(self._average.vector)

    @torch.no_grad()
    def train_mode(self) -> None:
        """Put the last iterate back into the parameters, where the next step starts."""
        if self._iterate is not None:
            self._current_layout().write(self._iterate)
            self._iterate = None

    # --- options, parameters and states -----------------------------------------------------------

    def _move(self, move: Move, layout: Layout) -> None:
        """Let the memories follow a change of the trained parameters.

        Moments are kept for unchanged blocks, the average is completed with the current values, and
        a probed step is forgotten (our choices).
        """
        self._memory = self._memory.moved()
        self._moments.relayout(move.sources, layout)
        self._iterate = None if self._iterate is None else move(self._iterate)
        self._average.move(move)

    def _follow_options(self) -> None:
        """Apply edits of the parameter groups, made by hand or by a scheduler."""
        if self._options.unchanged(self.param_groups):
            return
        changed = self._options.update_from(self.param_groups)
        if "radius" in changed:
            self._memory = replace(self._memory, radius=self.param_groups[0]["radius"])
        self._take_options()

    def _take_options(self) -> None:
        """Compose the parts of a step from the options."""
        own = self.param_groups[0]
        self._options.note(self.param_groups)
        self._lr = float(own["lr"])
        self._rule, self._probing = TrackingRule.of(own), Probing.of(own)
        self._betas, self._eps = tuple(own["betas"]), own["eps"]
        self._reject_below = own["reject_below"]
        self._average.exponent = own["average"] or 0.0
        memory = self._memory
        evidence = replace(memory.evidence, memory=own["memory"])
        radius = min(max(memory.radius, self._rule.minimum), self._rule.maximum)
        self._memory = replace(memory, radius=radius, evidence=evidence)
        if self._layout is not None:
            self._decay = Decay(self.param_groups, self._layout)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters; they share all options but those of ``by_group``.

        Raises:
            ValueError: If the group sets any other option.
        """
        check_group(type(self).__name__, param_group, self.by_group)
        super().add_param_group(self._with_shared_options(param_group))

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain numbers and tensors."""
        self._follow_options()
        self.state[self._anchor] = {
            "tracking": self._memory.state_dict(),
            "moments": self._moments.state_dict(),
            "averaged": self._average.state_dict(),
            "iterate": self._iterate,
            **self._blocks_if_some_are_frozen(),
        }
        return super().state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the options and the state of another optimizer of the same method.

        Tensors are moved to the devices and dtypes of the parameters they belong to.

        Raises:
            ValueError: If the state does not fit the parameters.
        """
        known = dict(self.param_groups[0])
        state = self._loaded(state_dict)
        completed(self.param_groups, known, self._options.names)
        self._layout = self._remembered = None
        if state:
            self._take_state(dict(state))
        self._take_options()

    def _take_state(self, state: dict[str, Any]) -> None:
        """Take over the state of all parameters."""
        self._remembered = state.pop("blocks", None)
        layout = self._last_layout() or Layout(self._blocks())
        state = fitted(state, layout)
        self._memory = self._memory.restored(state["tracking"])
        self._moments.load_state_dict(state["moments"])
        self._average.load_state_dict(state["averaged"])
        self._iterate = state["iterate"]

    def __getstate__(self) -> dict[str, Any]:
        names = (
            *("last_step", "_context", "_warned_of_gradients", "_iterate", "_moments", "_average"),
            *("_memory", "_options", "_lr", "_rule", "_probing", "_betas", "_eps"),
            "_reject_below",
        )
        own = {name: self.__dict__[name] for name in names}
        return {**super().__getstate__(), **own}
