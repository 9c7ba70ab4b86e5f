"""The additive Schwarz preconditioner: subdomains propose, each on its own, all at once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from napts.optim.cadam import CAdam
from napts.optim.moments import Moments, ResetMoments
from napts.optim.objective import Objective, Point
from napts.optim.precision import LocalPrecision, reduced
from napts.optim.preconditioner import Proposal
from napts.optim.subdomains import Decomposition, Part
from napts.optim.vectors import Layout

Shares = Literal["equal", "joint"]


@dataclass(frozen=True, slots=True)
class AdditiveSchwarz:
    """Proposes the sum of the subdomains' local steps, NAPTS Algorithm 1, lines 6 to 9.

    Attributes:
        decomposition: The subdomains, with boundary data frozen at the current iterate.
        solver: What each subdomain runs.
        last_block_exact: Let the last subdomain follow the loss itself rather than its frozen
            downstream gradient. The paper freezes it; the authors' code of IAPTS does not.
        moments: Whether the solver's moments outlive the iteration.
        shares: How the subdomains share the radius: the same length for each (``"equal"``, the
            paper), or the length that each first direction has in all of them together, scaled
            to the radius (``"joint"``, ours; one more collective on several ranks).
        fraction: Share of the cached batch that a local step after the first one uses.
        precision: In which precision those local steps compute their gradients.
    """

    decomposition: Decomposition
    solver: CAdam
    last_block_exact: bool = False
    moments: ResetMoments = field(default_factory=ResetMoments)
    shares: Shares = "equal"
    fraction: float = 1.0
    precision: LocalPrecision = "full"

    @property
    def captured(self) -> Decomposition | None:
        """The decomposition, if any local step needs more than the global gradient."""
        return self.decomposition if self.solver.steps > 1 else None

    def commit(self) -> None:
        """Keep the moments, if they outlive the iteration."""
        self.moments.commit()

    def follow(self, sources: Sequence[int | None], layout: Layout) -> None:
        """Keep the moments of the blocks that are as they were."""
        self.moments.follow(sources, layout)

    def state_dict(self) -> dict[str, Any]:
        """Return the moments."""
        return self.moments.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over saved moments."""
        self.moments.load_state_dict(state)

    def propose(self, objective: Objective, point: Point, radius: float) -> Proposal:
        """Run the local solver on every subdomain, starting from the iterate.

        Costs ``T - 1`` local passes; no subdomain sees another one's new weights.

        Args:
            objective: The batch loss; its parameters are moved.
            point: The iterate with its gradient.
            radius: Trust-region radius that the whole proposal keeps to.

        Returns:
            The proposed parameters ``theta_k + sum_d R_d^T s^(d)``, eq. (4); what they promise is
            left to the global model.
        """
        gradient = point.model.gradient
        moments = self.moments.begin(gradient)
        for subdomain, block in enumerate(gradient):
            direction = objective.layout.buffer(subdomain)
            self.solver.direction(moments[subdomain], block, direction)
        lengths = self._lengths(objective, radius, len(gradient))
        moments = self.moments.propose(moments)
        for subdomain, length in enumerate(lengths):
            self._solve(objective, subdomain, moments[subdomain], length)
        self.decomposition.release()
        objective.counts.local_passes += self.solver.steps - 1
        return Proposal(objective.layout.read())

    def _lengths(self, objective: Objective, radius: float, here: int) -> list[float | Tensor]:
        """Return the longest step of each subdomain that is here."""
        if self.shares == "equal":
            return [self.solver.equal_share(radius, self.decomposition.total)] * here
        directions = [objective.layout.buffer(subdomain) for subdomain in range(here)]
        whole = objective.length(directions)
        if isinstance(whole, float) and whole == 0.0:
            return [0.0] * here  # nothing moves anyway
        scale = radius / self.solver.steps / whole
        return [scale * self.solver.length(direction) for direction in directions]

    def _solve(
        self, objective: Objective, subdomain: int, moments: Moments, length: float | Tensor
    ) -> None:
        """Take the local steps of one subdomain; the first direction is in its buffer."""
        layout, direction = objective.layout, objective.layout.buffer(subdomain)
        layout.shift(subdomain, self.solver.truncate(direction, length))
        for turn in range(self.solver.steps - 1):
            gradient = layout.flatten_block(
                objective.with_decay(subdomain, self._local_gradient(objective, subdomain, turn))
            )
            self.solver.direction(moments, gradient, direction)
            layout.shift(subdomain, self.solver.truncate(direction, length))

    def _local_gradient(self, objective: Objective, subdomain: int, turn: int) -> list[Tensor]:
        device = objective.layout.blocks[subdomain][0].device
        subdomain = objective.layout.subdomains[subdomain]
        last = self.decomposition.holds_last and subdomain == objective.layout.last_subdomain
        with objective.local_pass(), reduced(self.precision, device):
            if self.last_block_exact and last:
                return self.decomposition.exact_gradient_of_last(objective.closure)
            part = Part(self.fraction, turn) if self.fraction < 1.0 else None
            return self.decomposition.local_gradient(subdomain, part)
