"""What the training loop needs of an optimizer."""

from typing import Any, Protocol

from napts.optim import StepRecord
from napts.optim.batch import Batch
from napts.optim.subdomains import Closure


class StepOptimizer(Protocol):
    """What the training loop needs of an optimizer."""

    @property
    def last_step(self) -> StepRecord | None:
        """Record of the latest step."""
        ...

    def step(self, closure: Closure | Batch, /) -> float:
        """Take one step; the closure returns the loss and does not call ``backward()``."""
        ...

    def train_mode(self) -> None:
        """Put the parameters where the next step starts."""
        ...

    def eval_mode(self) -> None:
        """Put the parameters where the network is evaluated; for most that is the same place."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain tensors and numbers."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """Load what `state_dict` returned."""
        ...
