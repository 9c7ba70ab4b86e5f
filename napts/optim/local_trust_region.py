"""The trust region as a local solver: a few steps within what is left of a radius."""

from dataclasses import dataclass, replace
from typing import Protocol

from torch import Tensor

from napts.optim import vectors
from napts.optim.acceptance import Reference, judge
from napts.optim.local_model import ModelFamily
from napts.optim.radius import RadiusRule
from napts.optim.vectors import Vector

_EXHAUSTED = 1e-6
"""Share of the radius below which nothing is left of it."""


class LocalProblem(Protocol):
    """What a subdomain minimises, in its own variables."""

    def value(
        self, trial: Vector, predicted: Tensor | float, *, keep_graph: bool
    ) -> tuple[float, float]:
        """Return the loss at other values, and the number that comes to the host along with it.

        Args:
            trial: The values; the parameters are left there.
            predicted: A number that may be on a device.
            keep_graph: :meth:`gradient` may follow.
        """
        ...

    def gradient(self) -> Vector:
        """Return the gradient where :meth:`value` was last asked for."""
        ...


@dataclass(frozen=True, slots=True)
class LocalTrustRegion:
    """Takes trust-region steps on a local problem from an iterate, together within a radius.

    APTS in weights (arXiv 2312.13677), Algorithm 1, lines 7 to 10: the local radius starts at the
    whole radius, follows the ratios, and is capped by what is left after the steps so far.

    Attributes:
        steps: Steps ``nu``, rejected ones included.
        rule: How the local radius follows the ratios; its bounds are replaced by 0 and the radius.
    """

    steps: int
    rule: RadiusRule

    def minimise(
        self,
        problem: LocalProblem,
        family: ModelFamily,
        start: Vector,
        loss: float,
        gradient: Vector,
        longest: float,
    ) -> tuple[Vector, float]:
        """Take the steps; at most ``steps`` forwards and ``steps - 1`` backwards.

        No gradient is computed where nothing is left to go.

        Args:
            problem: What is minimised.
            family: Makes the local models; it observes the local iterates.
            start: Where the steps start.
            loss: The local loss there.
            gradient: Its gradient there.
            longest: The radius.

        Returns:
            Where the steps lead, and the local loss there.
        """
        rule = replace(self.rule, minimum=0.0, maximum=longest)
        theta, radius, left = start, longest, longest
        family.observe(theta, gradient)
        model = family.at(gradient)
        for turn in range(self.steps):
            step = model.minimise(min(radius, left))
            trial = vectors.add(theta, step.vector)
            away = step.length if theta is start else None
            if away is None:
                away = vectors.norm(vectors.subtract(trial, start), family.norm)
            left_there = longest - vectors.to_host([away])[0]
            goes_on = turn + 1 < self.steps and left_there > _EXHAUSTED * longest
            value, promised = problem.value(trial, step.predicted_reduction, keep_graph=goes_on)
            verdict = judge(loss, value, promised, Reference(loss, 0.0), rule.eta_1)
            radius = rule.update(min(radius, left), verdict)
            if not verdict.accepted:
                continue
            theta, loss, left = trial, value, left_there
            if not goes_on:
                break
            gradient = problem.gradient()
            family.observe(theta, gradient)
            model = family.at(gradient)
        return theta, loss
