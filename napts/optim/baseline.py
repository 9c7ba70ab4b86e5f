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
        values: list[float] = []

        def evaluate() -> float:
            self.optimizer.zero_grad(set_to_none=True)
            with torch.enable_grad():
                loss = closure()
                loss.backward()
            counts.forwards += 1
            counts.backwards += 1
            values.append(float(loss.detach()))
            return values[-1]

        if isinstance(self.optimizer, torch.optim.LBFGS):
            self.optimizer.step(evaluate)
        elif math.isfinite(evaluate()):
            self.optimizer.step()
        loss = values[0]
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
