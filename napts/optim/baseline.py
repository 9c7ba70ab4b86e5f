"""Adam, SGD and LBFGS in the same loop: a torch optimizer behind the interface of the methods."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from napts.optim.passes import Passes
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

    def step(self, closure: Closure | Passes) -> float:
        """Perform one step.

        Args:
            closure: Computes and returns the loss; it does not call ``backward()``. For a network
                that is spread over ranks: what ``pipeline.batch(inputs, targets)`` returns.

        Returns:
            The loss before the step. If it is NaN or infinite, no step is taken.

        Raises:
            ValueError: If LBFGS is to run on several ranks, whose inner products it does not add.
        """
        lbfgs = isinstance(self.optimizer, torch.optim.LBFGS)
        if lbfgs and isinstance(closure, Passes) and closure.communicator.size > 1:
            raise ValueError("LBFGS: found several ranks, allowed: one")
        counts = PassCounts()
        values: list[float] = []

        def evaluate() -> float:
            self.optimizer.zero_grad(set_to_none=True)
            differentiate = _by_passes if isinstance(closure, Passes) else _by_closure
            values.append(differentiate(closure, self._parameters(), counts))
            return values[-1]

        if lbfgs:
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

    def _parameters(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"] if p.requires_grad]

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the optimizer inside."""
        return self.optimizer.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state into the optimizer inside."""
        self.optimizer.load_state_dict(state_dict)


def _by_closure(closure: Any, parameters: list[Tensor], counts: PassCounts) -> float:
    """Return the loss and leave the gradient in ``.grad``."""
    with torch.enable_grad():
        loss = closure()
        loss.backward()
    counts.forwards += 1
    counts.backwards += 1
    return float(loss.detach())


def _by_passes(passes: Any, parameters: list[Tensor], counts: PassCounts) -> float:
    """The same on several ranks."""
    passes.counts = counts
    loss, gradients = passes.linearise(None)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    return passes.communicator.collect([(loss, "sum")])[0]
