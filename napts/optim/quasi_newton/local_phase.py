"""The local phase: every subdomain minimises the loss over its own parameters."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from napts.optim.local_model import FirstOrder, LocalModels
from napts.optim.local_solver import Allowance, LocalSolver, ValuedProblem
from napts.optim.quasi_newton.function import Function, Point
from napts.optim.quasi_newton.subspaces import Subspace, covering, restricted_gradient
from napts.optim.replicas import ONE_REPLICA
from napts.optim.vectors import Norm, Vector

ANYWHERE = Allowance(float("inf"))
"""No radius bounds the steps."""


class Restricted(ValuedProblem):
    """The loss as a function of a subdomain's parameters, with the others held fixed.

    Args:
        function: The loss of all parameters.
        space: The subdomain.
        start: Its parameters.
        loss: The loss there.
        slope: The gradient there.
    """

    norm: Norm = "l2"

    def __init__(
        self, function: Function, space: Subspace, start: Tensor, loss: float, slope: Tensor
    ) -> None:
        self.slope = [slope]
        self._function, self._space = function, space
        self._start, self._loss = start, loss
        self._evaluated = False

    @property
    def start(self) -> Vector:
        """The subdomain's parameters at the start."""
        return [self._start]

    @property
    def loss(self) -> float:
        """The loss there."""
        return self._loss

    def models(self) -> LocalModels:
        """Return first-order models."""
        return FirstOrder(self.norm, "scaled_gradient")

    def scratch(self) -> Vector:
        """Return a vector to be filled for :meth:`move`."""
        return [self._space.layout.buffer(0)]

    def move(self, factor: float | Tensor) -> None:
        """Add the scratch vector, times a factor."""
        self._space.layout.shift(0, factor)
        self._evaluated = False

    def value(
        self, trial: Vector, predicted: Tensor | float, *, keep_graph: bool
    ) -> tuple[float, float]:
        """Return the loss at other parameters of the subdomain; a gradient may follow."""
        self._space.layout.write(trial)
        self._evaluated = True
        return self._function.value(), float(predicted)

    def gradient(self) -> Vector:
        """Return the gradient at the current parameters."""
        if not self._evaluated:
            self._function.value()
        self._evaluated = False
        return [restricted_gradient(self._function, self._space)]


@dataclass(frozen=True, slots=True)
class Corrected:
    """What a local phase has found.

    Attributes:
        correction: ``sum_s E_s (theta_s* - R_s theta)``, divided by the covering where sets
            overlap.
        beside: Gradients that could be computed at the same time as those of the subdomain with the
            most.
    """

    correction: Tensor
    beside: float = 0.0


@dataclass(frozen=True, slots=True)
class Additive:
    """Every subdomain starts from the same iterate, and none sees what the others do.

    Attributes:
        spaces: The subdomains.
        solvers: What each of them runs.
    """

    spaces: Sequence[Subspace]
    solvers: Sequence[LocalSolver[ValuedProblem]]

    def run(self, function: Function, at: Point) -> Corrected:
        """Let the subdomains minimise; several processes share them.

        Their first gradient is known: it is a part of that at the iterate. The sum is over the
        subdomains in order, whichever process has found a correction, so that where they overlap
        any number of processes has the same bits.
        """
        count = len(self.spaces)
        parts = [at.theta.new_zeros(space.size) for space in self.spaces]
        spent = torch.zeros(count, dtype=torch.float64, device=at.theta.device)
        function.layout.write([at.theta])
        for s in function.replicas.own(count):
            space, already = self.spaces[s], function.counts.backwards
            start = space.restrict(at.theta)
            problem = Restricted(function, space, start, at.loss, space.restrict(at.gradient))
            found = self.solvers[s].minimise(problem, ANYWHERE).theta
            end = space.layout.read()[0] if found is None else found[0]
            parts[s] = end - start
            space.layout.write([start])
            spent[s] = function.counts.backwards - already
        if function.replicas is not ONE_REPLICA:
            own = spent.sum().item()
            function.replicas.add([*parts, spent])
            function.counts.forwards += spent.sum().item() - own
            function.counts.backwards += spent.sum().item() - own
        total = torch.zeros_like(at.theta)
        for space, part in zip(self.spaces, parts, strict=True):
            space.add_to(total, part)
        total.div_(covering(self.spaces, total))
        return Corrected(total, (spent.sum() - spent.max()).item())


@dataclass(frozen=True, slots=True)
class Multiplicative:
    """Every subdomain starts from the result of the one before it, from input to output.

    Attributes:
        spaces: The subdomains.
        solvers: What each of them runs.
    """

    spaces: Sequence[Subspace]
    solvers: Sequence[LocalSolver[ValuedProblem]]

    def run(self, function: Function, at: Point) -> Corrected:
        """Let the subdomains minimise in turn; all but the first need a gradient to start with.

        Several processes do it all, and go on with what the first one has found.
        """
        loss = at.loss
        function.layout.write([at.theta])
        for s, (space, solver) in enumerate(zip(self.spaces, self.solvers, strict=True)):
            start = space.layout.read()[0]
            if s == 0:
                slope = space.restrict(at.gradient)
            else:
                loss = function.value()
                slope = restricted_gradient(function, space)
            problem = Restricted(function, space, start, loss, slope)
            found = solver.minimise(problem, ANYWHERE).theta
            if found is not None:
                space.layout.write(found)
        correction = function.layout.read()[0] - at.theta
        function.replicas.lead([correction])
        return Corrected(correction)
