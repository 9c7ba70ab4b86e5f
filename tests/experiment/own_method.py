"""A trust region that measures trials against a running average of the losses, as a user adds it.

Its mathematics: Zhang and Hager, *A nonmonotone line search technique and its application to
unconstrained optimization* (2004), eq. (1.4), as the memory of a trust region.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Unpack

import napts
from napts.optim import members
from napts.optim.acceptance import RadiusRule, Reference
from napts.optim.bases import PlainTrustRegion
from napts.optim.composition import Composition
from napts.optim.history import Success
from napts.optim.options import ModelOptions, TrustRegionOptions


# The mathematics.
class AverageLoss:
    """The memory: ``C <- (memory Q C + f) / Q'`` with ``Q' = memory Q + 1``."""

    def __init__(self, memory: float) -> None:
        self._memory, self._average, self._weight = memory, 0.0, 0.0

    def reference(self, loss: float, theta: Any = None) -> tuple[Reference, None]:
        known = self._weight > 0.0
        return Reference(max(loss, self._average) if known else loss, 0.0), None

    def push(self, success: Success) -> None:
        before = self._memory * self._weight
        self._weight = before + 1.0
        self._average = (before * self._average + success.trial_loss) / self._weight

    def clear(self) -> None:
        self._average = self._weight = 0.0

    def mark(self) -> Any:
        return self._average, self._weight

    def rollback(self, mark: Any) -> None:
        self._average, self._weight = mark

    def move(self, to: Any) -> None:
        pass

    def adopt(self, other: Any) -> None:
        if isinstance(other, AverageLoss):
            self.rollback(other.mark())

    def state_dict(self) -> dict[str, Any]:
        return {"average": self._average, "weight": self._weight}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._average, self._weight = state["average"], state["weight"]


# End of the mathematics.
class AverageOptions(TrustRegionOptions, ModelOptions, total=False):
    memory: Annotated[float, napts.Option(0.85, "Weight of the past.", within="[0, 1]")]


@napts.register_method("average-tr")
class AverageTR(PlainTrustRegion):
    """Trust region whose trials are measured against an average of past losses.

    Args:
        params: Parameters or groups of them.
    """

    def __init__(self, params: Iterable[Any], **options: Unpack[AverageOptions]) -> None:
        super().__init__(params, options)

    def _compose(self, options: dict[str, Any]) -> Composition:
        return Composition(
            members.local_model(options),
            RadiusRule.of(options),
            options["max_tries"],
            global_history=AverageLoss(options["memory"]),
            tracker=members.tracker(options),
        )
