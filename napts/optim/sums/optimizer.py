"""Base of the methods for finite sums: their steps, options and states."""

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from torch import Tensor

from napts.optim import calls, vectors
from napts.optim.batch import Batch, as_batch
from napts.optim.described import DescribedOptimizer
from napts.optim.group_options import completed
from napts.optim.local_solver import Found
from napts.optim.record import PassCounts, StepRecord, summarise
from napts.optim.relayout import identical
from napts.optim.signature import check
from napts.optim.step_context import StepContext
from napts.optim.step_hooks import with_step_hooks
from napts.optim.subdomains import Closure
from napts.optim.sums.batch_sum import as_sum
from napts.optim.sums.counts import CountedSum, SumCounts
from napts.optim.sums.kept import Kept
from napts.optim.sums.sampling import Sampling
from napts.optim.vectors import Layout, Vector, blocks_by_kind


@dataclass(frozen=True, slots=True)
class Start:
    """Where a step starts.

    Attributes:
        batch: What ``step`` was given.
        total: The same as a sum whose evaluations are counted.
        theta: The parameters.
        loss: ``L(theta)``.
        gradient: The gradient there.
    """

    batch: Batch
    total: CountedSum
    theta: Vector
    loss: float
    gradient: Vector


class SumOptimizer(DescribedOptimizer):
    """A method that takes steps on a finite sum as a function of its parameters.

    A subclass defines in ``_advance`` where a step leads, and in ``_numbers`` what it
    remembers.

    Args:
        params: Parameters or parameter groups, which share all options.
        options: The options, as the constructor got them.
    """

    pipeline_ok: ClassVar[bool] = False
    spread_ok: ClassVar[bool] = False

    def __init__(self, params: Iterable[Any], options: Mapping[str, Any], /) -> None:
        complete = self._completed(options)
        super().__init__(params, complete)
        self.last_step = None
        self._context = StepContext()
        self._layout: Layout | None = None
        self._trained_then: list[Tensor] = []
        self._kept: Kept | None = None
        self._sampling = Sampling(complete.get("seed"))
        self._warned_of_gradients = False
        self._followed: dict[str, Any] = {}
        self._compose(complete)
        self._follow_options()

    @abstractmethod
    def _compose(self, options: Mapping[str, Any]) -> None:
        """Make the parts of a step from the options; called again when these are edited."""

    @abstractmethod
    def _advance(self, start: Start) -> Found:
        """Return where a step leads; the parameters may be left at any value."""

    def _numbers(self) -> dict[str, Any]:
        """Return what later steps depend on, besides samples and kept gradients."""
        return {}

    def _take_numbers(self, numbers: Mapping[str, Any]) -> None:
        """Take over what :meth:`_numbers` returned."""

    def _radius(self) -> float | None:
        """Return the radius of the trust region, if there is one."""
        return None

    def _share(self) -> float | None:
        """Return the share of the samples in the smallest subset of the latest step."""
        return None

    @with_step_hooks
    def step(self, closure: Closure | Batch | None = None) -> float:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Perform one step.

        Args:
            closure: A :class:`napts.optim.sums.FiniteSum`; any :class:`napts.Batch`, whose loss is
                differentiated through its graph; or, for methods that do not sub-sample, a
                function that returns the loss without ``backward()``.

        Returns:
            The loss before the step. If it is NaN or infinite, no step is taken.

        Raises:
            ValueError: If there is no closure, if the method needs samples but a plain closure was
                given, or if an edited option is out of range.
            Exception: Whatever an evaluation raises; parameters and state are then those before
                the step.
        """
        batch = as_batch(closure)
        self._follow_options()
        layout = self._current_layout()
        self._context.check_whole(layout.parameters)
        if layout.parameters[0].grad is not None:
            self._warn_of_gradients()
        before, mark, radius = layout.read(), self._mark(), self._radius()
        try:
            total = CountedSum(as_sum(batch, layout), SumCounts())
            start, checks = self._start(batch, total, before)
            found = self._advance(start) if math.isfinite(start.loss) else Found(before)
            theta = before if found.theta is None else found.theta
            layout.write(theta)
        except BaseException:
            layout.write(before)
            self._rollback(mark)
            raise
        record = summarise(
            start.loss,
            found.trials,
            self._passes(start, checks),
            radius or 0.0,
            self._radius() or 0.0,
        )
        moved = vectors.subtract(theta, before)
        self.last_step = self._completed_record(record, found, start, moved, radius)
        return start.loss

    def _passes(self, start: Start, checks: int) -> PassCounts:
        """Return the passes of a step."""
        counts = start.total.counts
        return PassCounts(counts.forwards, counts.backwards, checks=checks)

    def _completed_record(
        self, record: StepRecord, found: Found, start: Start, moved: Vector, radius: float | None
    ) -> StepRecord:
        """Return a record with what the trials, if any, do not show."""
        counts = start.total.counts
        told: dict[str, Any] = {
            "hessians": counts.hessians,
            "hessian_products": counts.products,
            "cg_iterations": counts.cg_iterations,
            "sample_fraction": self._share(),
        }
        if radius is None:
            told |= {"radius_before": None, "radius_after": None}
        if not found.trials:
            (length,) = vectors.to_host([vectors.norm(moved, "l2")])
            told |= {"accepted": length > 0.0, "step_norm": length, "trial_loss": found.loss}
            if found.loss is not None:
                told["actual_reduction"] = start.loss - found.loss
        return replace(record, **told)

    def _start(self, batch: Batch, total: CountedSum, theta: Vector) -> tuple[Start, int]:
        """Evaluate at the start of the step, unless that was kept; return the checks it took."""
        kept, checks = self._kept, 0
        if kept is not None and not kept.known(batch, theta):
            unverified = kept.of is None
            kept = kept.confirmed(batch, total, theta)
            checks = int(unverified and kept is not None)
        if kept is None:
            loss, gradient = total.value_and_gradient(theta)
            kept = Kept(theta, loss, gradient, batch, batch.function_key)
        # With random numbers of its own the loss of the next step is another function.
        alike = total.uncounted is batch or not total.uncounted.draws
        self._kept = kept if alike else None
        return Start(batch, total, kept.theta, kept.loss, kept.gradient), checks

    def _current_layout(self) -> Layout:
        """Return the layout of the parameters that require a gradient now."""
        groups = [[p for p in g["params"] if p.requires_grad] for g in self.param_groups]
        trained = [p for group in groups for p in group]
        if self._layout is None or not identical(trained, self._trained_then):
            self._check_trained(trained)
            self._layout = Layout([block for group in groups for block in blocks_by_kind(group)])
            self._trained_then = trained
        return self._layout

    def _follow_options(self) -> None:
        """Apply edits of the parameter groups, made by hand or by a scheduler."""
        first = self._common_options()
        if first == self._followed:
            return
        check(first, self.definitions)
        if self._followed:
            numbers = self._numbers()
            self._compose(first)
            self._take_numbers(numbers)
            self._edited({name for name, value in first.items() if value != self._followed[name]})
        self._followed = first

    def _edited(self, names: set[str]) -> None:
        """Follow edits of options that are initial values, such as a radius."""
        if "seed" in names:
            self._sampling = Sampling(self.param_groups[0]["seed"])

    def _warn_of_gradients(self) -> None:
        if not self._warned_of_gradients:
            self._warned_of_gradients = True
            calls.warn_of_gradients(type(self).__name__)

    def _mark(self) -> tuple[Any, ...]:
        return self._numbers(), self._sampling.state_dict(), self._kept

    def _rollback(self, mark: tuple[Any, ...]) -> None:
        numbers, sampling, self._kept = mark
        self._take_numbers(numbers)
        self._sampling.load_state_dict(sampling)

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain numbers and tensors, including that of the random generator."""
        self.state[self._anchor] = {
            "numbers": self._numbers(),
            "sampling": self._sampling.state_dict(),
            "kept": None if self._kept is None else self._kept.saved(),
        }
        return super().state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the options and the state of another optimizer of the same method."""
        known = dict(self.param_groups[0])
        state = self._loaded(state_dict)
        completed(self.param_groups, known, tuple(self.definitions))
        self._followed = {name: self.param_groups[0][name] for name in self.definitions}
        self._compose(self._followed)
        self._layout = self._kept = None
        if not state:
            return
        self._take_numbers(_near(state["numbers"], self._anchor))
        self._sampling.load_state_dict(state["sampling"])
        if state["kept"] is not None:
            like = self._anchor
            kept = {name: _near(value, like) for name, value in state["kept"].items()}
            self._kept = Kept(**kept, of=None)

    @property
    def _anchor(self) -> Tensor:
        # torch keys state by parameter; what belongs to all of them hangs on the first one.
        return self.param_groups[0]["params"][0]

    def __getstate__(self) -> dict[str, Any]:
        kept = None if self._kept is None else replace(self._kept, of=None)
        names = ("last_step", "_context", "_sampling", "_warned_of_gradients", "_followed")
        own = {name: self.__dict__[name] for name in names}
        fresh = {"_layout": None, "_trained_then": [], "_kept": kept, "_copied": self._numbers()}
        return {**super().__getstate__(), **own, **fresh}

    def __setstate__(self, state: dict[str, Any]) -> None:
        numbers = state.pop("_copied", None)
        super().__setstate__(state)
        if numbers is not None:
            self._compose(self._followed)
            self._take_numbers(numbers)


def _near(value: Any, like: Tensor) -> Any:
    """Return tensors on the device of a parameter."""
    if isinstance(value, (list, tuple)):
        return type(value)(_near(each, like) for each in value)
    if isinstance(value, dict):
        return {name: _near(each, like) for name, each in value.items()}
    return value.to(like.device) if isinstance(value, Tensor) else value
