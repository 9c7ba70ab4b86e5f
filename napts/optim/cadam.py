"""CAdam: the local solver of NAPTS, Adam with every step cut to a share of the radius."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from napts.optim.vectors import Norm, norm

Cap = Literal["scale", "clip"]


@dataclass(frozen=True, slots=True)
class CAdam:
    """Runs ``T`` local Adam steps whose lengths add up to at most the radius, NAPTS eq. (3).

    Moments start at zero in every outer iteration (our choice; the paper does not say). In the
    2-norm a subdomain's share of the radius is ``radius / sqrt(N)``, so that the lifted step of
    ``N`` subdomains is no longer than the radius; in the infinity norm it is the radius itself.

    Attributes:
        steps: Local steps ``T``.
        betas: Decay rates of the first and second moment.
        eps: Term added to the denominator.
        cap: ``"scale"`` shortens a step that is too long, ``"clip"`` cuts its coordinates.
        norm: Norm of the trust region.
    """

    steps: int
    betas: tuple[float, float]
    eps: float
    cap: Cap
    norm: Norm

    def step_length(self, radius: float, subdomains: int) -> float:
        """Return the longest step that one subdomain may take, a ``T``-th of its share."""
        share = radius / math.sqrt(subdomains) if self.norm == "l2" else radius
        return share / self.steps

    def solve(
        self,
        gradient: Tensor,
        next_gradient: Callable[[], Tensor],
        move: Callable[[Tensor], None],
        length: float,
    ) -> None:
        """Move one subdomain's weights by ``T`` steps.

        Args:
            gradient: Flat gradient at the start; the first step needs no pass of its own.
            next_gradient: Returns the flat local gradient at the present weights.
            move: Adds a flat step to the weights.
            length: Longest step, from :meth:`step_length`.
        """
        beta_1, beta_2 = self.betas
        first, second = torch.zeros_like(gradient), torch.zeros_like(gradient)
        for t in range(1, self.steps + 1):
            if t > 1:
                gradient = next_gradient()
            first.lerp_(gradient, 1 - beta_1)
            second.mul_(beta_2).addcmul_(gradient, gradient, value=1 - beta_2)
            # Both bias corrections in one factor, as torch's Adam has them.
            root = math.sqrt(1 - beta_2**t)
            direction = first / second.sqrt().add_(self.eps * root)
            move(self._truncate(direction, root / (1 - beta_1**t), length))

    def _truncate(self, direction: Tensor, factor: float, length: float) -> Tensor:
        """Return ``-factor * direction``, cut to the length; overwrites the direction."""
        if self.cap == "clip":
            bound = length / math.sqrt(direction.numel()) if self.norm == "l2" else length
            return direction.mul_(-factor).clamp_(-bound, bound)
        return direction.mul_(-(length / norm([direction], self.norm)).clamp(max=factor))
