"""The additive Schwarz preconditioner: subdomains propose, each on its own, all at once."""

from dataclasses import dataclass

from torch import Tensor

from napts.optim.cadam import CAdam
from napts.optim.objective import Objective, Point
from napts.optim.subdomains import Decomposition
from napts.optim.vectors import Vector


@dataclass(frozen=True, slots=True)
class AdditiveSchwarz:
    """Proposes the sum of the subdomains' local steps, NAPTS Algorithm 1, lines 6 to 9.

    Attributes:
        decomposition: The subdomains, with boundary data frozen at the current iterate.
        solver: What each subdomain runs.
        last_block_exact: Let the last subdomain follow the loss itself rather than its frozen
            downstream gradient. The paper freezes it; the authors' code of IAPTS does not.
    """

    decomposition: Decomposition
    solver: CAdam
    last_block_exact: bool = False

    @property
    def captured(self) -> Decomposition | None:
        """The decomposition, if any local step needs more than the global gradient."""
        return self.decomposition if self.solver.steps > 1 else None

    def propose(self, objective: Objective, point: Point, radius: float) -> Vector:
        """Run the local solver on every subdomain, starting from the iterate.

        Costs ``T - 1`` local passes; no subdomain sees another one's new weights.

        Args:
            objective: The batch loss; its parameters are moved.
            point: The iterate with its gradient.
            radius: Trust-region radius that the whole proposal keeps to.

        Returns:
            The proposed parameters ``theta_k + sum_d R_d^T s^(d)``, eq. (4).
        """
        gradient = point.model.gradient
        length = self.solver.step_length(radius, self.decomposition.total)
        for subdomain, block in enumerate(gradient):
            self._solve(objective, subdomain, block, length)
        self.decomposition.release()
        objective.counts.local_passes += self.solver.steps - 1
        return objective.layout.read()

    def _solve(self, objective: Objective, subdomain: int, gradient: Tensor, length: float) -> None:
        layout = objective.layout
        last = self.decomposition.holds_last and subdomain == len(layout.blocks) - 1
        exact = self.last_block_exact and last

        def next_gradient() -> Tensor:
            with objective.local_pass():
                if exact:
                    tensors = self.decomposition.exact_gradient_of_last(objective.closure)
                else:
                    tensors = self.decomposition.local_gradient(subdomain)
            return layout.flatten_block(tensors)

        self.solver.solve(gradient, next_gradient, lambda s: layout.shift(subdomain, s), length)
