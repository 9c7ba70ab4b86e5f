"""Base of the quasi-Newton methods: their steps, records and states."""

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from napts.optim import calls
from napts.optim.batch import Batch, as_batch
from napts.optim.described import DescribedOptimizer
from napts.optim.quasi_newton.curvature import InverseHessian
from napts.optim.quasi_newton.directions import descending, first_length
from napts.optim.quasi_newton.function import Function, Point, step_along
from napts.optim.quasi_newton.wolfe import Reached, StrongWolfe
from napts.optim.record import StepRecord
from napts.optim.relayout import identical
from napts.optim.signature import check
from napts.optim.step_context import StepContext
from napts.optim.step_hooks import with_step_hooks
from napts.optim.subdomains import Closure
from napts.optim.vectors import Layout


@dataclass(frozen=True, slots=True)
class Costs:
    """What an iteration costs by counts other than that of all gradients.

    Attributes:
        published: Gradients by the authors' convention, which leaves line searches out.
        beside: Gradients that need not wait for others and can be computed at the same time.
        update: Vector work, in units of one two-loop recursion over all parameters; None for work
            of another kind.
        skipped: Corrections that were not descent directions.
    """

    published: float
    beside: float = 0.0
    update: float | None = 1.0
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Known:
    """Loss and gradient at the end of the last step, and the function they belong to.

    Attributes:
        key: ``function_key`` of its batch.
        point: The iterate.
    """

    key: str
    point: Point


class QuasiNewtonOptimizer(DescribedOptimizer):
    """A method whose steps are line searches along quasi-Newton directions.

    A subclass defines an iteration in ``_advance``.

    Args:
        params: Parameters or parameter groups, of one device and type.
        options: The options, as the constructor got them.
    """

    pipeline_ok: ClassVar[bool] = False
    spread_ok: ClassVar[bool] = False
    channels_last_ok: ClassVar[bool] = False

    def __init__(self, params: Iterable[Any], options: Mapping[str, Any], /) -> None:
        super().__init__(params, self._completed(options))
        self.last_step = None
        self._context = StepContext()
        self._layout: Layout | None = None
        self._trained_then: list[Tensor] = []
        self._warned_of_gradients = False
        self._checked: dict[str, Any] = {}
        self._iterations = 0
        self._known: Known | None = None
        self._velocity: Tensor | None = None
        self._curvature = self._make_curvature(self._own_options())

    @abstractmethod
    def _make_curvature(self, options: Mapping[str, Any]) -> InverseHessian:
        """Return an empty approximation of the inverse Hessian."""

    @abstractmethod
    def _advance(self, function: Function, at: Point) -> tuple[Point, Costs]:
        """Return where an iteration leads, and what it costs by other counts."""

    @with_step_hooks
    def step(self, closure: Closure | Batch | None = None) -> float:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Perform one iteration.

        Args:
            closure: Returns the loss of the batch without ``backward()``; or a
                :class:`napts.Batch`. If its ``function_key`` is that of the last step, loss and
                gradient at the iterate are known and not evaluated again.

        Returns:
            The loss before the step. If it is NaN or infinite, no step is taken.

        Raises:
            ValueError: If there is no closure, if it calls ``backward()`` or does not return a
                scalar tensor, if an edited option is out of range, or if processes have their own
                batches.
            Exception: Whatever the closure raises; parameters and memories are then those before
                the step.
        """
        batch = as_batch(closure)
        layout = self._current_layout()
        self._check_options()
        if layout.parameters[0].grad is not None and not self._warned_of_gradients:
            self._warned_of_gradients = True
            calls.warn_of_gradients(type(self).__name__)
        before = layout.read()
        function = Function(batch, layout, self._context)
        try:
            start = self._start(batch, function, before[0])
            end, costs = start, Costs(published=1.0)
            if math.isfinite(start.loss) and bool(start.gradient.isfinite().all()):
                end, costs = self._advance(function, start)
                self._iterations += 1
            layout.write([end.theta])
        except BaseException:
            layout.write(before)
            raise
        key = None if function.draws else batch.function_key
        self._known = None if key is None else Known(key, end)
        self.last_step = _record(function, start, end, costs)
        return start.loss

    def _start(self, batch: Batch, function: Function, theta: Tensor) -> Point:
        """Evaluate at the start of the step, unless the last one has done so."""
        known = self._known
        if known is not None and known.key == batch.function_key:
            same = known.point.theta.shape == theta.shape
            if same and torch.equal(known.point.theta, theta):
                return known.point
        return function.start()

    # --- what iterations consist of -------------------------------------------------------------

    def _search(
        self, function: Function, at: Point, direction: Tensor, slope: float, length: float = 1.0
    ) -> tuple[Point, float]:
        """Search along a direction; return the point it leads to, and the length."""

        def evaluate(a: float) -> tuple[float, Tensor]:
            point = function.at(step_along(at.theta, direction, a))
            return point.loss, point.gradient

        start = Reached(0.0, at.loss, at.gradient, slope)
        search = StrongWolfe(evaluations=self._own_options()["search_evaluations"])
        found = search.search(evaluate, start, direction, length)
        if found.length == 0.0:
            return at, 0.0
        theta = step_along(at.theta, direction, found.length)
        return Point(theta, found.loss, found.gradient), found.length

    def _quasi_newton_step(self, function: Function, at: Point) -> Point:
        """Take a quasi-Newton step with momentum, items 3 to 6 of the slides.

        The remembered pair belongs to this step alone. If the search leads nowhere, pairs and
        momentum are forgotten, so that the next iteration begins with the gradient.
        """
        momentum = self._own_options().get("momentum", 1.0)
        found = descending(self._curvature, at.gradient, self._velocity, momentum)  # 3, 4
        first = self._curvature.empty or found.plain
        length = first_length(at.gradient) if first else 1.0
        end, length = self._search(function, at, found.vector, found.slope, length)  # 5
        if found.plain or length == 0.0:
            self._curvature.forget()
        if length == 0.0:
            self._velocity = None
            return at
        self._velocity = found.vector if momentum < 1.0 else None
        step, change = found.vector * length, end.gradient - at.gradient
        self._curvature.update(step, change, at.gradient, length)  # 6
        return end

    # --- as an optimizer ------------------------------------------------------------------------

    def _own_options(self) -> dict[str, Any]:
        return {name: self.param_groups[0][name] for name in self.definitions}

    def _check_options(self) -> None:
        """Check edited options; all groups have the same."""
        options = self._common_options()
        if options != self._checked:
            check(options, self.definitions)
            if self._checked:
                self._edited(options)
            self._checked = options

    def _edited(self, options: Mapping[str, Any]) -> None:
        """Follow an edit of the options."""
        curvature = self._make_curvature(options)
        curvature.load_state_dict(self._curvature.state_dict())
        self._curvature = curvature

    def _trained(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"] if p.requires_grad]

    def _current_layout(self) -> Layout:
        """Return the layout of the trained parameters; if they have changed, forget everything."""
        trained = self._trained()
        if self._layout is None or not identical(trained, self._trained_then):
            self._check_trained(trained)
            moved = self._layout is not None
            self._layout, self._trained_then = Layout([trained]), trained
            if moved:
                self._forget()
        return self._layout

    def _forget(self) -> None:
        """Forget what belongs to other parameters."""
        self._curvature.forget()
        self._velocity = self._known = None

    def _numbers(self) -> dict[str, Any]:
        """Return what later steps depend on."""
        known = self._known
        return {
            "iterations": self._iterations,
            "curvature": self._curvature.state_dict(),
            "velocity": self._velocity,
            "known": None
            if known is None
            else [known.key, known.point.theta, known.point.loss, known.point.gradient],
        }

    def _take_numbers(self, numbers: Mapping[str, Any]) -> None:
        """Take over what :meth:`_numbers` returned."""
        self._iterations = numbers["iterations"]
        self._curvature.load_state_dict(numbers["curvature"])
        self._velocity = numbers["velocity"]
        known = numbers["known"]
        self._known = None if known is None else Known(known[0], Point(*known[1:]))

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain numbers and tensors."""
        self.state[self._anchor] = self._numbers()
        return super().state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the options and the state of another optimizer of the same method."""
        state = self._loaded(state_dict)
        self._checked, self._layout = {}, None
        self._curvature = self._make_curvature(self._own_options())
        self._forget()
        self._iterations = 0
        if state:
            self._take_numbers(_near(state, self._anchor))

    @property
    def _anchor(self) -> Tensor:
        # torch keys state by parameter; what belongs to all of them hangs on the first one.
        return self.param_groups[0]["params"][0]

    def __getstate__(self) -> dict[str, Any]:
        names = (
            *("last_step", "_context", "_warned_of_gradients", "_checked", "_iterations"),
            *("_known", "_velocity", "_curvature"),
        )
        own = {name: self.__dict__[name] for name in names}
        return {**super().__getstate__(), **own, "_layout": None, "_trained_then": []}


def _record(function: Function, start: Point, end: Point, costs: Costs) -> StepRecord:
    counts = function.counts
    length = torch.linalg.vector_norm(end.theta - start.theta).item()
    return StepRecord(
        loss=start.loss,
        trial_loss=end.loss,
        actual_reduction=start.loss - end.loss,
        step_norm=length,
        accepted=length > 0.0,
        rejections_proposal=costs.skipped,
        phase="global",
        forwards=counts.forwards,
        backwards=counts.backwards,
        gradients_published=costs.published,
        gradients_concurrent=counts.backwards - costs.beside,
        update_cost=costs.update,
    )


def _near(value: Any, like: Tensor) -> Any:
    """Return nested data with all tensors on the device and in the type of a parameter."""
    if isinstance(value, dict):
        return {name: _near(each, like) for name, each in value.items()}
    if isinstance(value, list):
        return [_near(each, like) for each in value]
    return value.to(like) if isinstance(value, Tensor) else value
