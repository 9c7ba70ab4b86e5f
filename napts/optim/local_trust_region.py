"""The trust region as a local solver: a few steps within what is left of a radius."""

import math
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
    whole radius, follows the ratios, and is capped by what is left after the steps so far. If the
    allowance has a reach, its radius is only the first one, and the bounds of the rule hold; with
    an infinite reach the steps are those of the trust-region method itself.

    Attributes:
        steps: Steps ``nu``, rejected ones included.
        rule: How the local radius follows the ratios; without a reach its bounds are replaced by 0
            and the radius.
        exhausted: Share of the initial allowance below which nothing is left.
        rounding: See :func:`napts.optim.acceptance.judge`.
        eta: Smallest ratio that is accepted; ``None`` for the rule's ``eta_1``.
    """

    needs_values: ClassVar[bool] = True

    steps: int
    rule: RadiusRule
    exhausted: float = _EXHAUSTED
    rounding: float = 0.0
    eta: float | None = None

    def minimise(self, problem: ValuedProblem, allowance: Allowance) -> Found:
        """Take the steps; at most ``steps`` values and ``steps - 1`` gradients.

        No gradient is computed once nothing is left of the allowance.

        Args:
            problem: What to minimise; its models observe the local iterates.
            allowance: The radius.

        Returns:
            Where the steps lead, the local loss there, and the radius that they end with.
        """
        start, loss, gradient = problem.start, problem.loss, problem.slope
        (radius,) = vectors.to_host([allowance.longest(gradient, problem.norm)])
        rule, longest = self.rule, allowance.reach
        eta = rule.eta_1 if self.eta is None else self.eta
        if longest is None:
            rule, longest = replace(self.rule, minimum=0.0, maximum=radius), radius
        nothing = self.exhausted * longest if longest < math.inf else 0.0
        theta, left, models = start, longest, problem.models()
        models.observe(theta, gradient)
        model = models.at(gradient)
        trials = []
        for turn in range(self.steps):
            allowed = min(radius, left)
            step = model.minimise(allowed)
            trial = vectors.add(theta, step.vector)
            length = step.length
            if length is None or theta is not start:
                length = vectors.norm(vectors.subtract(trial, start), models.norm)
            (away,) = vectors.to_host([length])
            left_there = longest - away
            goes_on = turn + 1 < self.steps and left_there > nothing
            value, promised = problem.value(trial, step.predicted_reduction, keep_graph=goes_on)
            verdict = judge(loss, value, promised, Reference(loss, 0.0), eta, self.rounding)
            radius = rule.update(allowed, verdict)
            own = away if theta is start else step.known_length
            trials.append(verdict.on("global", allowed, loss, value, promised, own))
            if not verdict.accepted:
                continue
            theta, loss, left = trial, value, left_there
            if not goes_on:
                break
            gradient = problem.gradient()
            models.observe(theta, gradient)
            model = models.at(gradient)
        return Found(theta, loss, radius, tuple(trials))
