"""Exact subdomains: each minimises the loss itself over its own parameters, the others frozen."""

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from napts.optim import vectors
from napts.optim.acceptance import Reference, judge
from napts.optim.local_model import ModelFamily
from napts.optim.objective import Objective, Point
from napts.optim.radius import RadiusRule
from napts.optim.subdomains import share_of_radius
from napts.optim.vectors import Vector


@dataclass(frozen=True, slots=True)
class ExactSubdomains:
    """Proposes the sum of the subdomains' steps on the loss itself.

    APTS in weights (arXiv 2312.13677), Algorithm 1: every subdomain takes a few trust-region steps
    over its own parameters from the same iterate, within what is left of the radius. Subdomains
    follow one another; none sees another one's new weights.

    Attributes:
        steps: Local trust-region steps ``nu``, rejected ones included.
        rule: How a local radius follows the ratios; its bounds are replaced by 0 and by what is
            left of the radius.
        model: The global local model, whose restriction each subdomain starts with: for the second
            order with the pairs of the global one, which is how the histories are synchronised.
        budget: Share of the radius that a subdomain may use: 1 in the paper, 1/2 in its authors'
            code.
    """

    steps: int
    rule: RadiusRule
    model: ModelFamily
    budget: float = 1.0

    @property
    def captured(self) -> None:
        """Nothing is cached: the whole network is evaluated."""
        return

    def propose(self, objective: Objective, point: Point, radius: float) -> Vector:
        """Run the local trust region on every subdomain, starting from the iterate.

        Costs at most ``N * nu`` forwards and ``N * (nu - 1)`` backwards, which are counted as those
        of the whole network: the first local step reuses the global gradient.

        Args:
            objective: The batch loss; its parameters are moved.
            point: The iterate with its gradient.
            radius: Trust-region radius that the whole proposal keeps to.

        Returns:
            The proposed parameters.
        """
        objective.loss_of(point)
        count = len(point.theta)
        share = share_of_radius(objective.norm, self.budget * radius, count)
        proposed = []
        for block in range(count):
            proposed.append(self._solve(objective, point, block, share))
            objective.layout.write_block(block, point.theta[block])
        objective.layout.write(proposed)
        return proposed

    def _solve(self, objective: Objective, point: Point, block: int, longest: float) -> Tensor:
        """Take the local steps of one subdomain; return its new parameters."""
        start = theta = point.theta[block]
        loss, gradient = float(point.loss), point.model.gradient[block]
        family, radius = self.model.restricted(block), longest
        family.observe([theta], [gradient])
        model = family.at([gradient])
        for turn in range(self.steps):
            (used,) = vectors.to_host([vectors.norm([theta - start], family.norm)])
            left = longest - used
            if left <= _EXHAUSTED * longest:
                break
            step = model.minimise(min(radius, left))
            trial, goes_on = theta + step.vector[0], turn + 1 < self.steps
            trial_loss, promised = objective.evaluate_block(
                block, trial, step.predicted_reduction, keep_graph=goes_on
            )
            verdict = judge(loss, trial_loss, promised, Reference(loss, 0.0), self.rule.eta_1)
            rule = replace(self.rule, minimum=0.0, maximum=longest)
            radius = rule.update(min(radius, left), verdict)
            if verdict.accepted:
                theta, loss = trial, trial_loss
                if goes_on:
                    gradient = objective.block_gradient(block)
                    family.observe([theta], [gradient])
                    model = family.at([gradient])
        return theta

    def commit(self) -> None:
        """Nothing outlives the iteration."""

    def state_dict(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Do nothing."""


_EXHAUSTED = 1e-6
"""Share of the radius below which nothing is left of it."""
