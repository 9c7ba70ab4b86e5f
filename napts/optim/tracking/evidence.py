"""What a probed step brought on its own batch and on the next one, and how much of it was real."""

import math
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Probe:
    """A step ``s = Delta d`` from ``theta_t`` to ``theta_(t+1)``, measured on two batches.

    Attributes:
        promise: ``-g_t^T s``, the reduction that the gradient of its own batch promised.
        before: Loss of its own batch at its start.
        after: Loss of its own batch at its end.
        next_before: Loss of the next batch at its start.
        next_after: Loss of the next batch at its end.
        next_slope: ``-g_(t+1)^T s``, what the gradient of the next batch at the end of the step
            promises for going on.
    """

    promise: float
    before: float
    after: float
    next_before: float
    next_after: float
    next_slope: float

    @property
    def ratio(self) -> float:
        """Reduction of the step's own batch, as a share of the promise; -inf if not a number."""
        return ratio(self.before - self.after, self.promise)

    @property
    def real(self) -> float:
        """The part of the promise that the next batch confirms: its own at the start of the step.

        Along the step the loss of the next batch is taken as quadratic, so that its reduction is
        the mean of the slopes at both ends (trapezoid rule).
        """
        return 2.0 * (self.next_before - self.next_after) - self.next_slope


def ratio(actual: float, promise: float) -> float:
    """Return the share of a promise that was kept; -inf if the actual reduction is no number."""
    return actual / promise if math.isfinite(actual) else -math.inf


@dataclass(frozen=True, slots=True)
class Evidence:
    """Running means of what probed steps promised, and of what was real of it.

    Attributes:
        memory: Decay rate of both.
        promised: Mean promise, up to a factor that both have.
        real: Mean of the real parts, likewise.
    """

    memory: float
    promised: float = 0.0
    real: float = 0.0

    def with_probe(self, probe: Probe) -> "Evidence":
        """Return the evidence with one more probe; one that is not finite is left out."""
        if not math.isfinite(probe.real):
            return self
        keep, take = self.memory, 1.0 - self.memory
        return replace(
            self,
            promised=keep * self.promised + take * probe.promise,
            real=keep * self.real + take * probe.real,
        )

    @property
    def share(self) -> float:
        """Share of the promises that is real, in [0, 1]; 1 without noise, 0 without evidence."""
        if self.promised <= 0.0:
            return 0.0
        return min(1.0, max(0.0, self.real / self.promised))

    def state_dict(self) -> dict[str, Any]:
        """Return the means."""
        return {"promised": self.promised, "real": self.real}

    def restored(self, state: dict[str, Any]) -> "Evidence":
        """Return evidence with saved means."""
        return replace(self, promised=state["promised"], real=state["real"])
