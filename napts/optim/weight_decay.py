"""Weight decay: as part of the loss, or decoupled from it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from napts.optim.passes import Passes
from napts.optim.subdomains import Decomposition
from napts.optim.vectors import Layout, Vector

Groups = Sequence[Mapping[str, Any]]


class Penalty:
    """The term ``sum_p weight_decay_p / 2 * ||theta_p||^2`` of a loss, at the current parameters.

    Args:
        layout: The parameters that it covers.
        weights: The weight decay of each.
    """

    def __init__(self, layout: Layout, weights: Sequence[float]) -> None:
        self._weights = {id(p): w for p, w in zip(layout.parameters, weights, strict=True)}
        self._blocks = [[p for p in own if self._weights[id(p)]] for own in layout.blocks]

    def value(self, like: Tensor) -> Tensor:
        """Return the term on the device and in the dtype of a loss."""
        return self.by_block(like).sum()

    @torch.no_grad()
    def by_block(self, like: Tensor) -> Tensor:
        """Return each block's part of the term."""
        parts = [self._of_block(block, like) for block in self._blocks]
        return torch.stack(parts)

    def _of_block(self, block: list[Tensor], like: Tensor) -> Tensor:
        if not block:
            return torch.zeros_like(like)
        squares = torch.stack(torch._foreach_norm(block)).to(like).square()
        weights = [self._weights[id(p)] / 2 for p in block]
        if len(set(weights)) == 1:
            return weights[0] * squares.sum()
        return squares.dot(squares.new_tensor(weights))

    @torch.no_grad()
    def added_to(self, gradients: Sequence[Tensor], of: Sequence[Tensor]) -> list[Tensor]:
        """Return gradients with the gradient of the term added.

        Args:
            gradients: Gradients of the loss without it, one per parameter.
            of: The parameters.
        """
        weights = [self._weights[id(p)] for p in of]
        own = torch._foreach_mul(list(of), weights)
        return list(torch._foreach_add(list(gradients), own))


class PenalisedPasses(Passes):
    """Passes whose losses and gradients include a penalty; on ranks, each rank adds its part.

    Args:
        passes: The passes without it.
        penalty: The penalty of this process's parameters.
        parameters: These parameters, in the order of the gradients.
    """

    def __init__(self, passes: Passes, penalty: Penalty, parameters: Sequence[Tensor]) -> None:
        self.communicator = passes.communicator
        self.counts = passes.counts
        self.divided = passes.divided
        self._passes = passes
        self._penalty = penalty
        self._parameters = list(parameters)

    def linearise(self, decomposition: Decomposition | None) -> tuple[Tensor, list[Tensor]]:
        """Return loss and gradient; fill the caches of the decomposition on the way."""
        loss, gradient = self._passes.linearise(decomposition)
        return self._whole(loss), self._penalty.added_to(gradient, self._parameters)

    def value(self) -> Tensor:
        """Return the loss: a forward pass and nothing else."""
        return self._whole(self._passes.value())

    def trial(self) -> Tensor:
        """Return the loss at a trial point, whose gradient may be asked for next."""
        return self._whole(self._passes.trial())

    def trial_gradient(self, of: Sequence[Tensor] | None = None) -> list[Tensor]:
        """Return the gradient at the latest trial point, of all or of some parameters."""
        found = self._passes.trial_gradient(of)
        return self._penalty.added_to(found, self._parameters if of is None else of)

    def known_trial_gradient(self) -> list[Tensor] | None:
        """Return the gradient at the latest trial point if it was computed with the loss."""
        found = self._passes.known_trial_gradient()
        return None if found is None else self._penalty.added_to(found, self._parameters)

    def accept_trial(self) -> None:
        """Note that the latest trial was accepted."""
        self._passes.accept_trial()

    def _whole(self, loss: Tensor) -> Tensor:
        if not self.communicator.spread:
            return loss + self._penalty.value(loss)
        # One number per block, so that any number of ranks adds the same ones in the same order.
        shares = self._penalty.by_block(loss)
        shares[-1] += loss
        return shares


class Decay:
    """The weight decay that the groups' options define, for the parameters of a layout.

    Args:
        groups: The parameter groups.
        layout: The parameters in training.

    Attributes:
        penalty: The term of the loss; ``None`` if there is none.
    """

    def __init__(self, groups: Groups, layout: Layout) -> None:
        of = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
        weights = [of[id(p)] for p in layout.parameters]
        decays, self._factors = any(weights), None
        decoupled = groups[0]["decoupled_weight_decay"]
        self.penalty = Penalty(layout, weights) if decays and not decoupled else None
        if decays and decoupled:
            multiplier = float(groups[0]["lr"])
            self._factors = [1.0 - multiplier * w for w in weights]

    @property
    def decoupled(self) -> bool:
        """Whether :meth:`apply` changes anything."""
        return self._factors is not None

    def apply(self, layout: Layout) -> Vector | None:
        """Shrink the parameters, if the decay is decoupled.

        Loshchilov and Hutter, *Decoupled Weight Decay Regularization* (2019): ``theta <- (1 - eta *
        weight_decay) theta`` with the multiplier ``eta`` of the schedule, which is the groups'
        ``lr`` (our choice).

        Returns:
            The parameters before the change; ``None`` if nothing was done.
        """
        if self._factors is None:
            return None
        before = layout.read()
        torch._foreach_mul_(layout.parameters, self._factors)
        return before


def check_weight_decay(value: Any) -> None:
    """Check the weight decay of one group.

    Raises:
        ValueError: If it is negative or not finite.
    """
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0.0 <= value < math.inf:
        raise ValueError(f"Invalid weight_decay: {value}, must be at least 0 and finite")
