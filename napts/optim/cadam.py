"""CAdam: the local solver of NAPTS, Adam with every step cut to a share of the radius."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from napts.optim.local_solver import SHORTEST, Allowance, Found, LocalProblem, LocalSolver
from napts.optim.moments import Moments, ResetMoments
from napts.optim.vectors import Layout, Norm, Vector, norm

Cap = Literal["scale", "clip"]


@dataclass(frozen=True, slots=True)
class CAdam(LocalSolver[LocalProblem]):
    """Makes ``T`` local Adam steps whose lengths add up to at most the radius, NAPTS eq. (3).

    Attributes:
        steps: Local steps ``T``.
        betas: Decay rates of the first and second moment.
        eps: Term added to the denominator.
        cap: ``"scale"`` shortens a step that is too long, ``"clip"`` cuts its coordinates.
        norm: Norm of the trust region.
        moments: Whether the moments outlive the iteration; if so, all subdomains must begin
            together.
    """

    steps: int
    betas: tuple[float, float]
    eps: float
    cap: Cap
    norm: Norm
    moments: ResetMoments = field(default_factory=ResetMoments)

    def begin(self, problems: Sequence[LocalProblem]) -> None:
        """Take in the gradients at the iterate; leave the first directions in the scratch."""
        moments = self.moments.begin([block for problem in problems for block in problem.slope])
        following = iter(moments)
        for problem in problems:
            for slope, out in zip(problem.slope, problem.scratch(), strict=True):
                self.direction(next(following), slope, out)
        following = iter(self.moments.propose(moments, change=self.steps > 1))
        for problem in problems:
            problem.kept = [next(following) for _ in problem.slope]

    def first(self, problem: LocalProblem) -> Vector:
        """Return the first direction, not yet cut."""
        return problem.scratch()

    def minimise(self, problem: LocalProblem, allowance: Allowance) -> Found:
        """Take ``T`` steps, at the cost of ``T - 1`` local gradients; they stay on the device."""
        direction = problem.scratch()
        length = norm(direction, self.norm) if self.cap == "scale" else None
        longest = allowance.longest(direction, self.norm, self.steps, length)
        problem.move(self.truncate(direction, longest, length))
        for _ in range(self.steps - 1):
            gradient = problem.gradient()
            for moments, block, out in zip(problem.kept, gradient, direction, strict=True):
                self.direction(moments, block, out)
            problem.move(self.truncate(direction, longest))
        return Found()

    def direction(self, moments: Moments, gradient: Tensor, out: Tensor) -> None:
        """Take in a flat gradient and write Adam's direction into a flat tensor."""
        moments.update(gradient, out, self.betas, self.eps)

    def truncate(
        self, direction: Vector, length: float | Tensor, present: float | Tensor | None = None
    ) -> float | Tensor:
        """Cut a direction to a length, eq. (3).

        Args:
            direction: Adam's direction; overwritten if its coordinates are clipped.
            length: Longest step allowed.
            present: Length of the direction, if known.

        Returns:
            The factor, at most 1, that turns it into the step.
        """
        if self.cap == "scale":
            return _share(length, norm(direction, self.norm) if present is None else present)
        size = sum(block.numel() for block in direction)
        bound = length / math.sqrt(size) if self.norm == "l2" else length
        for block in direction:
            if isinstance(bound, Tensor):
                block.clamp_(min=-bound, max=bound)
            else:
                block.clamp_(-bound, bound)
        return 1.0

    def commit(self) -> None:
        """Keep the moments, if they outlive the iteration."""
        self.moments.commit()

    def relayout(self, sources: Sequence[int | None], layout: Layout) -> None:
        """Keep the moments of unchanged blocks."""
        self.moments.relayout(sources, layout)

    def state_dict(self) -> dict[str, Any]:
        """Return the moments."""
        return self.moments.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over saved moments."""
        self.moments.load_state_dict(state)


def _share(length: float | Tensor, whole: float | Tensor) -> float | Tensor:
    """Return ``min(1, length / whole)``."""
    if isinstance(whole, Tensor):
        return (length / whole.clamp_min(SHORTEST)).clamp(max=1.0)
    return 1.0 if whole <= length else length / whole
