"""Family "preconditioner": where proposals come from."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from torch import Tensor

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


class Preconditioner(Protocol):
    """Proposes parameters, each subdomain on its own, all from the same iterate."""

    @property
    def captured(self) -> Decomposition | None:
        """The decomposition whose caches the global pass has to fill, if any."""
        ...

    @property
    def parts(self) -> int:
        """In how many parts the batch is to be evaluated; 0 for the whole at once."""
        ...

    def propose(self, objective: Objective, point: Point, radius: float) -> Proposal:
        """Return the proposed parameters; those of the network are left anywhere.

        Args:
            objective: The batch loss.
            point: The iterate with its gradient.
            radius: Trust-region radius that the whole proposal keeps to.
        """
        ...

    def commit(self) -> None:
        """Keep what outlives the iteration: its proposal has been judged."""
        ...

    def follow(self, sources: Sequence[int | None], layout: Layout) -> None:
        """Follow a change of the parameters that are trained.

        Args:
            sources: For each new block the old one with just the same parameters, else ``None``.
            layout: The new blocks.
        """
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return what later proposals depend on."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a saved state."""
        ...
