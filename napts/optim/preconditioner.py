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
        predicted_reduction: What they promise; ``None`` leaves that to the global model.
    """

    theta: Vector
    predicted_reduction: Tensor | float | None = None


class Preconditioner(ABC):
    """Proposes parameters, each subdomain on its own, all from the same iterate.

    Attributes:
        solver: What each subdomain runs; what it remembers is all that outlives an iteration.
        has_values: Its local problems have values, and not only gradients.
    """

    solver: LocalSolver[Any]
    has_values: ClassVar[bool] = True

    @property
    def captured(self) -> Decomposition | None:
        """The decomposition whose caches the global pass has to fill, if any."""
        return None

    @property
    def parts(self) -> int:
        """In how many parts the batch is to be evaluated; 0 for the whole at once."""
        return 0

    def check(self) -> None:
        """Check that the solver gets what it needs.

        Raises:
            ValueError: If it needs values that these subdomains do not have.
        """
        if self.solver.needs_values and not self.has_values:
            raise ValueError(
                f"{type(self).__name__}: found {type(self.solver).__name__} as local solver, which "
                "evaluates local losses, allowed: one that needs gradients alone, such as CAdam"
            )

    @abstractmethod
    def propose(self, objective: Objective, point: Point, radius: float) -> Proposal:
        """Return the proposed parameters; those of the network are left anywhere.

        Args:
            objective: The batch loss.
            point: The iterate with its gradient.
            radius: Trust-region radius that the whole proposal keeps to.
        """

    def commit(self) -> None:
        """Keep what outlives the iteration: its proposal has been judged."""
        self.solver.commit()

    def relayout(self, sources: Sequence[int | None], layout: Layout) -> None:
        """Follow a change of the parameters that are trained, as local solvers do."""
        self.solver.relayout(sources, layout)

    def state_dict(self) -> dict[str, Any]:
        """Return what later proposals depend on."""
        return self.solver.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a saved state."""
        self.solver.load_state_dict(state)
