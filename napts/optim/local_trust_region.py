"""The trust region as a local solver: a few steps within what is left of a radius."""

from dataclasses import dataclass, replace
from typing import ClassVar

from napts.optim import vectors
from napts.optim.acceptance import RadiusRule, Reference, judge
from napts.optim.local_solver import Allowance, Found, LocalSolver, ValuedProblem

_EXHAUSTED = 1e-6
"""Share of the radius below which nothing is left of it."""


@dataclass(frozen=True, slots=True)
class LocalTrustRegion(LocalSolver[ValuedProblem]):
    """Takes trust-region steps on a local problem from an iterate, together within a radius.

    APTS in weights (arXiv 2312.13677), Algorithm 1, lines 7 to 10: the local radius starts at the
    whole radius, follows the ratios, and is capped by what is left after the steps so far.

    Attributes:
        steps: Steps ``nu``, rejected ones included.
        rule: How the local radius follows the ratios; its bounds are replaced by 0 and the radius.
    """

    needs_values: ClassVar[bool] = True

    steps: int
    rule: RadiusRule

    def minimise(self, problem: ValuedProblem, allowance: Allowance) -> Found:
        """Take the steps; at most ``steps`` values and ``steps - 1`` gradients.

        No gradient is computed where nothing is left to go.

        Args:
            problem: What is minimised; its models observe the local iterates.
            allowance: The radius.

        Returns:
            Where the steps lead, and the local loss there.
        """
        start, loss, gradient = problem.start, problem.loss, problem.slope
        (longest,) = vectors.to_host([allowance.longest(gradient, problem.norm)])
        rule = replace(self.rule, minimum=0.0, maximum=longest)
        theta, radius, left, models = start, longest, longest, problem.models()
        models.observe(theta, gradient)
        model = models.at(gradient)
        for turn in range(self.steps):
            step = model.minimise(min(radius, left))
            trial = vectors.add(theta, step.vector)
            away = step.length if theta is start else None
            if away is None:
                away = vectors.norm(vectors.subtract(trial, start), models.norm)
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
            models.observe(theta, gradient)
            model = models.at(gradient)
        return Found(theta, loss)
