"""CAdam: the local solver of NAPTS, Adam with every step cut to a share of the radius."""

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from napts.optim.moments import Moments
from napts.optim.subdomains import share_of_radius
from napts.optim.vectors import Norm, norm

Cap = Literal["scale", "clip"]

SHORTEST = 1e-30
"""Lengths below this count as this much where they are divided by: nothing moves anyway."""


@dataclass(frozen=True, slots=True)
class CAdam:
    """Makes ``T`` local Adam steps whose lengths add up to at most the radius, NAPTS eq. (3).

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

    def equal_share(self, radius: float, subdomains: int) -> float:
        """Return the longest step of a subdomain, a ``T``-th of its share of the radius."""
        return share_of_radius(self.norm, radius, subdomains) / self.steps

    def direction(self, moments: Moments, gradient: Tensor, out: Tensor) -> None:
        """Take in a flat gradient and write Adam's direction into a flat tensor."""
        moments.update(gradient, out, self.betas, self.eps)

    def length(self, direction: Tensor) -> float | Tensor:
        """Return the length of a flat direction in the trust-region norm."""
        return norm([direction], self.norm)

    def truncate(self, direction: Tensor, length: float | Tensor) -> float | Tensor:
        """Cut a direction to a length, eq. (3).

        Args:
            direction: Adam's direction; overwritten if its coordinates are clipped.
            length: Longest step.

        Returns:
            The factor, at most 1, that makes it the step.
        """
        if self.cap == "scale":
            return _share(length, self.length(direction))
        bound = length / math.sqrt(direction.numel()) if self.norm == "l2" else length
        if isinstance(bound, Tensor):
            direction.clamp_(min=-bound, max=bound)
        else:
            direction.clamp_(-bound, bound)
        return 1.0


def _share(length: float | Tensor, whole: float | Tensor) -> float | Tensor:
    """Return ``min(1, length / whole)``."""
    if isinstance(whole, Tensor):
        return (length / whole.clamp_min(SHORTEST)).clamp(max=1.0)
    return 1.0 if whole <= length else length / whole
