"""L-BFGS as a local solver."""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from napts.optim import vectors
from napts.optim.local_solver import Allowance, Found, LocalSolver, ValuedProblem
from napts.optim.quasi_newton.curvature import LimitedMemory
from napts.optim.quasi_newton.directions import first_length
from napts.optim.quasi_newton.wolfe import Reached, StrongWolfe


class LocalLBFGS(LocalSolver[ValuedProblem]):
    """A few L-BFGS steps with strong Wolfe searches; no local step raises the loss.

    Args:
        steps: Local steps ``k_s``.
        pairs: Pairs that are remembered.
        keep: Whether the next call uses what this one has learnt, although the other variables have
            moved since (the authors' code); otherwise every call starts anew (ours).
        search: The line search.
    """

    needs_values: ClassVar[bool] = True

    def __init__(
        self, steps: int, pairs: int, *, keep: bool = False, search: StrongWolfe | None = None
    ) -> None:
        self.steps = steps
        self._pairs, self._keep = pairs, keep
        self._search = search or StrongWolfe()
        self._known: Any = []
        self._next: Any = []

    def minimise(self, problem: ValuedProblem, allowance: Allowance) -> Found:
        """Take the steps; if they lead too far, their sum is shortened."""
        memory = LimitedMemory(self._pairs)
        memory.load_state_dict(self._known)
        (start,) = problem.start
        theta, loss, gradient = start, problem.loss, problem.slope[0]
        for _ in range(self.steps):
            direction = memory.direction(gradient)
            slope = torch.dot(gradient, direction).item()
            if not slope < 0.0:
                memory.forget()
                direction = gradient.neg()
                slope = torch.dot(gradient, direction).item()
            if not slope < 0.0:
                break
            here = Reached(0.0, loss, gradient, slope)
            length = first_length(gradient) if memory.empty else 1.0
            reached = self._search.search(_line(problem, theta, direction), here, direction, length)
            if reached.length == 0.0:
                break
            step = direction * reached.length
            memory.update(step, reached.gradient - gradient, gradient, reached.length)
            theta = torch.add(theta, direction, alpha=reached.length)
            loss, gradient = reached.loss, reached.gradient
        self._next = memory.state_dict() if self._keep else []
        return _within(allowance, problem, start, theta, loss)

    def learnt(self, like: Tensor) -> Tensor:
        """Return the pairs of the last call as a table, ``(pairs, 2 n + 1)``.

        Args:
            like: A vector of as many variables, ``n``.
        """
        table = like.new_zeros(self._pairs, 2 * len(like) + 1)
        for row, (step, change, _) in zip(table, self._next, strict=False):
            row.copy_(torch.cat([row.new_ones(1), step, change]))
        return table

    def take(self, table: Tensor) -> None:
        """Take over what another process's solver has :meth:`learnt`, until :meth:`commit`."""
        memory = LimitedMemory(self._pairs)
        for row in table[table[:, 0] != 0.0]:
            step, change = row[1:].clone().chunk(2)
            memory.update(step, change, step, 1.0)
        self._next = memory.state_dict()

    def commit(self) -> None:
        """Keep the pairs, if they are to be kept."""
        self._known = self._next

    def state_dict(self) -> dict[str, Any]:
        """Return the pairs."""
        return {"pairs": self._known}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the pairs."""
        self._known = state["pairs"]


def _line(problem: ValuedProblem, theta: Tensor, direction: Tensor):
    def evaluate(length: float) -> tuple[float, Tensor]:
        trial = torch.add(theta, direction, alpha=length)
        loss, _ = problem.value([trial], 0.0, keep_graph=True)
        return loss, problem.gradient()[0]

    return evaluate


def _within(
    allowance: Allowance, problem: ValuedProblem, start: Tensor, theta: Tensor, loss: float
) -> Found:
    if math.isinf(allowance.radius) and allowance.whole is None:
        return Found([theta], loss)
    step = theta - start
    longest, length = vectors.to_host(
        [allowance.longest(problem.slope, problem.norm), vectors.norm([step], problem.norm)]
    )
    if length <= longest:
        return Found([theta], loss)
    return Found([torch.add(start, step, alpha=longest / length)])
