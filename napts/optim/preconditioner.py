"""Family "preconditioner": where proposals come from."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

from torch import Tensor

from napts.optim.local_solver import LocalSolver
from napts.optim.objective import Objective, Point
from napts.optim.subdomains import Decomposition
from napts.optim.vectors import Layout, Vector


class Proposal(NamedTuple):
    """Proposed parameters.

    Attributes:
        theta: The parameters.
        predicted_reduction: What they promise; with ``None`` the global model computes it.
    """

    theta: Vector
    predicted_reduction: Tensor | float | None = None


class Preconditioner(ABC):
    """Proposes parameters, each subdomain on its own, all from the same iterate.

    Attributes:
        solver: What each subdomain runs; only its memory outlives an iteration.
        has_values: Whether its local problems have values as well as gradients.
    """

    solver: LocalSolver[Any]
    has_values: ClassVar[bool] = True

    @property
    def captured(self) -> Decomposition | None:
        """The decomposition whose caches the global pass has to fill, if any."""
        return None

    @property
    def parts(self) -> int:
        """The number of parts in which to evaluate the batch; 0 for the whole at once."""
        return 0

    def check(self) -> None:
        """Check that the solver gets what it needs.

        Raises:
            ValueError: If it needs values that these subdomains do not have.
        """
        if self.solver.needs_values and not self.has_values:
            raise ValueError(
                f"{type(self).__name__}: found {type(self.solver).__name__} as local solver, which "
                "evaluates local losses, allowed: one that needs only gradients, such as CAdam"
            )

    @abstractmethod
    def propose(self, objective: Objective, point: Point, radius: float) -> Proposal:
        """Return the proposed parameters; the network's own may be left at any value.

        Args:
            objective: The batch loss.
            point: The iterate with its gradient.
            radius: Trust-region radius for the whole proposal.
        """

    def commit(self) -> None:
        """Keep what outlives the iteration: its proposal has been judged."""
        self.solver.commit()

    def relayout(self, sources: Sequence[int | None], layout: Layout) -> None:
        """Follow a change of the trained parameters, as local solvers do."""
        self.solver.relayout(sources, layout)

    def state_dict(self) -> dict[str, Any]:
        """Return what later proposals depend on."""
        return self.solver.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a saved state."""
        self.solver.load_state_dict(state)
