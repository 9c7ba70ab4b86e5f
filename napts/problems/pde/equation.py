"""Partial differential equations as problems: a residual, a domain, a lifting, a reference."""

import math
from abc import abstractmethod
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field as Option
from pydantic import SerializerFunctionWrapHandler, field_validator, model_serializer
from torch import Tensor, nn

from napts.optim import Batch
from napts.optim.replicas import ONE_REPLICA, Replicas
from napts.problems.evaluation import Evaluation, evaluation_mode
from napts.problems.numbers import GridPoints, Layers, Samples, Width
from napts.problems.pde import collocation
from napts.problems.pde.compiled import CompiledLoss
from napts.problems.pde.derivatives import Field, PlannedField
from napts.problems.pde.networks import Architecture, pde_network
from napts.problems.problem import Problem, ProblemOptions
from napts.problems.samples import EVALUATION_BATCH, SampleSet
from napts.problems.tensors import digest

Function = Callable[[Tensor], Tensor]
"""A function of points: ``(n, d)`` to ``(n, 1)``."""

FieldAt = tuple[Any, ...]
"""A field and the coordinates of its points."""

OnSide = Callable[..., FieldAt]
"""Takes values of coordinates, as in ``on(t=0.0)``; returns the field there and coordinates."""


class PdeOptions(ProblemOptions):
    """Options of an equation.

    Attributes:
        points: Number of collocation points, a Hammersley set; 10,000 on the slides.
        hidden_layers: Number of hidden layers.
        width: Units of each layer.
        architecture: ``"resnet_adaptive"``, the residual network with trainable slopes of the
            authors' code, or ``"mlp"``.
        network_time: The length of the time interval of the residual network's steps.
        conditions: ``"built-in"``: a lifting meets initial and boundary conditions whatever the
            network (the authors' code). ``"penalty"``: their mean squares are terms of the loss,
            with weight 1 (the slides).
        grid: Points of the validation grid along each coordinate.
        compile: Compute the training loss through `torch.compile`: faster steps, but ten
            seconds to a minute before the first one.
    """

    points: Samples = 10_000
    hidden_layers: Layers = 8
    width: Width = 20
    architecture: Architecture = "resnet_adaptive"
    network_time: float = Option(2.0, gt=0, le=1e6)
    conditions: Literal["built-in", "penalty"] = "built-in"
    grid: tuple[GridPoints, ...] = (101, 201)
    compile: bool = False

    @field_validator("grid", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @model_serializer(mode="wrap")
    def _as_before(self, plainly: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out later options at their defaults, so that older runs keep their keys."""
        data = plainly(self)
        if not self.compile:
            data.pop("compile", None)
        return data


class Pde(Problem):
    """A differential equation for one function, solved by a network ``N`` as ``A + ell N``.

    A subclass defines :attr:`domain`, :meth:`residual`, :meth:`lifting` and :meth:`reference` and,
    for conditions as penalties, :meth:`misfits`; docs/results/pde.md has an example. The loss is
    the mean square of the residual at the collocation points, all of them in every step.

    Attributes:
        domain: The interval of each coordinate, by its one-letter name.
        test_grid: Points of the test grid along each coordinate.
    """

    batch_size, precision = "full", "float64"
    primary = ("relative_error", "min")
    needs_grad = True

    domain: ClassVar[collocation.Domain]
    test_grid: ClassVar[tuple[int, ...]] = (101, 201)

    Options = PdeOptions

    def __init__(self, options: ProblemOptions | None = None) -> None:
        super().__init__(options)
        self.compiled = self.options.compile
        self._compiled_loss = CompiledLoss()
        self.subdomains = self.options.hidden_layers  # one hidden layer each: the slides' best runs
        if len(self.options.grid) != len(self.domain):
            raise ValueError(
                f"grid: found {self.options.grid}, allowed: {len(self.domain)} numbers"
            )
        if self._penalised and type(self).misfits is Pde.misfits:
            raise ValueError(f"conditions: found penalty, allowed: built-in for {self.title}")

    # --- what an equation says -----------------------------------------------------------------

    @abstractmethod
    def residual(self, u: Field, *at: Any, **named: Any) -> Tensor:
        """Return the residual, ``(n, 1)``.

        Args:
            u: The function, with its derivatives: ``u.value``, ``u.d("t")``, ``u.d("xx")``.
            at: ``(n, 1)`` values of each coordinate; a subclass names them.
            named: Not used.
        """

    @abstractmethod
    def lifting(self, *at: Any, **named: Any) -> tuple[Tensor, Tensor]:
        """Return ``A`` and ``ell``; ``A + ell N`` meets the conditions whatever ``N`` is."""

    @abstractmethod
    def reference(self, *at: Any, **named: Any) -> Tensor:
        """Return the solution on a tensor grid.

        Args:
            at: Values of each coordinate in double precision, shaped to be broadcast:
                ``(m, 1)`` and ``(1, k)``.
            named: Not used.
        """

    def misfits(self, on: OnSide) -> Iterable[Tensor]:
        """Yield the misfits of initial and boundary conditions; their mean squares are penalties.

        Args:
            on: ``u, t, x = on(t=0.0)`` gives the function and the coordinates on a side.
        """
        raise NotImplementedError  # without them, penalties are refused when the problem is made

    # --- what follows from it ------------------------------------------------------------------

    def network(self) -> nn.Module:
        """Return the network of the options."""
        o = self.options
        return pde_network(
            len(self.domain), o.hidden_layers, o.width, o.architecture, o.network_time
        )

    def data(self, root: Path | None = None) -> Any:
        """Return collocation points, and validation and test grids with the solution there."""
        points = collocation.hammersley(self.options.points, len(self.domain))
        parts: list[Any] = [(collocation.scaled(points, self.domain),)]
        for counts in (self.options.grid, self.test_grid):
            parts.append((self._grid(counts), _solution(type(self), counts).reshape(-1, 1)))
        return tuple(parts)

    def solution(self, model: Function) -> Function:
        """Return the function that a network represents."""
        if self._penalised:
            return model

        def lifted(points: Tensor) -> Tensor:
            start, factor = self.lifting(*points.split(1, 1))
            return start + factor * model(points)

        return lifted

    def field(self, function: Function, points: Tensor) -> FieldAt:
        """Return a function at points, with its derivatives, and the coordinates of the points."""
        if torch.compiler.is_compiling():
            plan = self._compiled_loss.plan
            return PlannedField(function, points, list(self.domain), plan), *points.split(1, 1)
        points = points.detach().requires_grad_()
        return Field(function(points), points, list(self.domain)), *points.split(1, 1)

    def residual_of(self, function: Function, points: Tensor) -> Tensor:
        """Return the residual of any function at points, ``(n, 1)``."""
        return self.residual(*self.field(function, points))

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        """Return the mean square of the residual plus the penalties, if any."""
        points = batch[0]
        if self.compiled:
            return self._compiled_loss(self, model, points)
        return self.plain_loss(model, points)

    def plain_loss(self, model: nn.Module, points: Tensor) -> Tensor:
        """Return the loss at points; this is compiled if that is asked for."""
        loss = self.residual_of(self.solution(model), points).square().mean()
        return loss + self._penalties(model, points) if self._penalised else loss

    def batch(self, model: nn.Module, samples: Any, replicas: Replicas = ONE_REPLICA) -> Batch:
        """Return what a step takes; it promises that the loss is the same for the same points."""
        batch = super().batch(model, samples, replicas)
        batch.function_key = digest(samples)
        return batch

    def evaluate(
        self, model: nn.Module, samples: SampleSet, *, batch_size: int = EVALUATION_BATCH
    ) -> Evaluation:
        """Return the loss, the relative error in the 2-norm, and the residual's root mean square.

        Arguments and errors are those of :meth:`napts.Problem.evaluate`; each point is visited once
        for all three.
        """
        self.check_not_empty(samples)
        squares, penalty = torch.zeros(3, dtype=torch.float64), 0.0
        with evaluation_mode(model), torch.enable_grad():
            for points, exact in samples.batches(batch_size):
                u, *at = self.field(self.solution(model), points)
                found = (self.residual(u, *at), u.value - exact, exact)
                squares += torch.stack([f.detach().double().square().sum() for f in found]).cpu()
            if self._penalised:
                penalty = self._penalties(model, samples.first(1)[0]).item()
        residual, error, size = squares.tolist()
        metrics = {
            "relative_error": math.sqrt(error / size),
            "residual": math.sqrt(residual / len(samples)),
        }
        return self.evaluation(residual / len(samples) + penalty, metrics)

    @torch.no_grad()
    def keepsake(self, model: nn.Module) -> dict[str, Any]:
        """Return the coordinates, the network's values and the solution on the test grid."""
        values = collocation.axes(self.domain, self.test_grid)
        like = next(model.parameters())
        found = self.solution(model)(self._grid(self.test_grid).to(like)).cpu()
        exact = _solution(type(self), self.test_grid)
        arrays = dict(zip(self.domain, (axis.reshape(-1) for axis in values), strict=True))
        arrays |= {"u": found.reshape(exact.shape), "exact": exact}
        return {name: array.float().numpy() for name, array in arrays.items()}

    @property
    def _penalised(self) -> bool:
        return self.options.conditions == "penalty"

    def _penalties(self, model: nn.Module, like: Tensor) -> Tensor:
        """Return the sum of the mean squares of the misfits, on as many points as a row has."""
        count = round(self.options.points ** (1 / len(self.domain)))

        def on(**fixed: float) -> FieldAt:
            return self.field(model, collocation.side(self.domain, fixed, count).to(like))

        return torch.stack([misfit.square().mean() for misfit in self.misfits(on)]).sum()

    def _grid(self, counts: tuple[int, ...]) -> Tensor:
        return collocation.grid(collocation.axes(self.domain, counts))


@lru_cache(maxsize=32)
def _solution(kind: type[Pde], counts: tuple[int, ...]) -> Tensor:
    """Return the reference on a grid, computed once per process."""
    return kind.reference(kind(), *collocation.axes(kind.domain, counts)).contiguous()
