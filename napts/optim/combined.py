"""Several torch optimizers, each with its own parameters, as one."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from napts.optim import calls


class CombinationError(ValueError):
    """Optimizers that cannot be combined."""


class Combined(Optimizer):
    """Torch optimizers that divide the parameters of one network among them.

    One evaluation of loss and gradient serves all. Their groups are joined in one list, so a
    learning-rate scheduler drives them all.

    Args:
        optimizers: Optimizers without a parameter in common.

    Raises:
        CombinationError: If there are none, if two have a parameter in common, or if one evaluates
            the loss itself, as LBFGS does.
    """

    optimizers: tuple[Optimizer, ...]
    """The optimizers inside."""

    closure_calls = "never"

    def __init__(self, optimizers: Sequence[Optimizer]) -> None:
        # Not torch's __init__, which would make groups and state of its own.
        found = [id(p) for inner in optimizers for g in inner.param_groups for p in g["params"]]
        if not found or len(found) != len(set(found)):
            raise CombinationError(
                "Combined: allowed are optimizers that have no parameter in common"
            )
        for inner in optimizers:
            if calls.kind_of(inner) in ("searches", "evaluates"):
                raise CombinationError(
                    f"{type(inner).__name__} evaluates the loss itself, allowed: alone, for "
                    "all parameters"
                )
        self.__setstate__({"optimizers": tuple(optimizers)})

    @property
    def param_groups(self) -> list[dict[str, Any]]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The parameter groups of all of them."""
        return [group for inner in self.optimizers for group in inner.param_groups]

    @property
    def state(self) -> defaultdict[Tensor, Any]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The states of all of them, by parameter; read-only."""
        merged: defaultdict[Tensor, Any] = defaultdict(dict)
        for inner in self.optimizers:
            merged.update(inner.state)
        return merged

    @property
    def defaults(self) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The default options of the first."""
        return self.optimizers[0].defaults

    def step(self, closure: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Let all of them take a step.

        Args:
            closure: Evaluates the loss and leaves its gradients, once for all.

        Returns:
            What the closure returned.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for inner in self.optimizers:
            inner.step()
        return loss

    def train(self) -> None:
        """Put those with two modes into training mode."""
        for inner in self._with_modes():
            inner.train()

    def eval(self) -> None:
        """Put those with two modes into evaluation mode."""
        for inner in self._with_modes():
            inner.eval()

    def _with_modes(self) -> list[Any]:
        return [inner for inner in self.optimizers if calls.has_modes(inner)]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Reset the gradients; see :meth:`torch.optim.Optimizer.zero_grad`."""
        for inner in self.optimizers:
            inner.zero_grad(set_to_none)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Refuse, since it is not clear which of them the group is for.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            "Combined: found a group for all optimizers, allowed: add it to one of them"
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the states of all of them."""
        return {"optimizers": [inner.state_dict() for inner in self.optimizers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what :meth:`state_dict` returned.

        Raises:
            ValueError: If it holds the states of another number of optimizers.
        """
        states = state_dict["optimizers"]
        if len(states) != len(self.optimizers):
            raise ValueError(
                f"Combined: found the state of {len(states)} optimizers, "
                f"allowed: {len(self.optimizers)}"
            )
        for inner, state in zip(self.optimizers, states, strict=True):
            inner.load_state_dict(state)

    def __getstate__(self) -> dict[str, Any]:
        return {"optimizers": self.optimizers}
