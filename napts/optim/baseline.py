"""Adam, SGD and LBFGS in the same loop: a torch optimizer behind the interface of the methods."""

import math
from typing import Any

import torch
from torch.optim import Optimizer

from napts.optim.record import PassCounts, StepRecord
from napts.optim.subdomains import Closure


class Baseline:
    """Lets a torch optimizer take the closure of the trust-region methods and emit their record.

    Args:
        optimizer: Any optimizer of ``torch.optim``; those that want a closure (LBFGS) get one
            that also differentiates. Every call of it is counted.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.last_step: StepRecord | None = None

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The parameter groups of the optimizer inside."""
        return self.optimizer.param_groups

    def step(self, closure: Closure) -> float:
        """Perform one step.

        Args:
            closure: Computes and returns the loss; it does not call ``backward()``.

        Returns:
            The loss before the step. If it is NaN or infinite, no step is taken.
        """
        counts = PassCounts()
        first: list[float] = []

        def evaluate() -> torch.Tensor:
            self.optimizer.zero_grad(set_to_none=True)
            with torch.enable_grad():
                loss = closure()
                loss.backward()
            counts.forwards += 1
            counts.backwards += 1
            if not first:
                first.append(float(loss.detach()))
            return loss.detach()

        needs_closure = isinstance(self.optimizer, torch.optim.LBFGS)
        if not needs_closure:
            evaluate()
        if needs_closure or math.isfinite(first[0]):
            self.optimizer.step(evaluate if needs_closure else None)
        loss = first[0]
        self.last_step = StepRecord(
            loss=loss,
            accepted=math.isfinite(loss),
            forwards=counts.forwards,
            backwards=counts.backwards,
        )
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the optimizer inside."""
        return self.optimizer.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state into the optimizer inside."""
        self.optimizer.load_state_dict(state_dict)
