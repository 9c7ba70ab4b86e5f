"""When to compute the gradient of a trial point: at once, or after it was accepted."""

from dataclasses import dataclass, field
from typing import Any

_FORWARD_SHARE = 1 / 3
"""A forward pass as a part of a forward and backward pass, the usual estimate."""

_MEMORY = 0.9
"""Weight of the past in the running acceptance rates."""


@dataclass(slots=True)
class TrialGradients:
    """Chooses by the acceptance rate that was observed.

    A pipeline schedule runs forward and backward in one go. A trial that may be differentiated
    can pay both at once, which is lost if it is rejected, or the forward alone, which is paid a
    second time if it is accepted. With acceptance rate ``p`` the first costs 1, the second
    ``1/3 + p``, so that the first is cheaper from ``p = 2/3`` on. Proposals and corrections have
    rates of their own, since proposals are nearly always accepted and corrections are not.

    Attributes:
        rates: Acceptance rate of the first trial of an iteration and of later ones.
    """

    rates: list[float] = field(default_factory=lambda: [1.0, 0.0])

    def at_once(self, ordinal: int) -> bool:
        """Tell whether the trial with this number, from 0, is to be differentiated at once."""
        return self.rates[min(ordinal, 1)] >= 1 - _FORWARD_SHARE

    def observe(self, ordinal: int, *, accepted: bool) -> None:
        """Note what became of a trial."""
        kind = min(ordinal, 1)
        self.rates[kind] = _MEMORY * self.rates[kind] + (1 - _MEMORY) * accepted

    def state_dict(self) -> dict[str, Any]:
        """Return the rates."""
        return {"rates": list(self.rates)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over rates saved by :meth:`state_dict`."""
        self.rates = list(state["rates"])
