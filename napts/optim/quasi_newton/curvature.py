"""Approximations of the inverse Hessian: limited memory, and dense and self-scaled."""

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

CURVED = 1e-10
"""A pair is kept if ``y^T s`` exceeds this times the lengths of both (our choice)."""


class InverseHessian(ABC):
    """Turns a gradient into a quasi-Newton direction."""

    @abstractmethod
    def direction(self, gradient: Tensor) -> Tensor:
        """Return ``-H g``; ``-g`` while nothing is known."""

    @abstractmethod
    def update(self, step: Tensor, change: Tensor, gradient: Tensor, length: float) -> None:
        """Take in a pair, unless it has no curvature.

        Args:
            step: ``s``.
            change: ``y``, the change of the gradient along this step and nothing else.
            gradient: The gradient at the start of the step.
            length: Its length as a multiple of :meth:`direction`, if it is one.
        """

    @abstractmethod
    def forget(self) -> None:
        """Start anew."""

    @property
    @abstractmethod
    def empty(self) -> bool:
        """Whether nothing is known."""

    @abstractmethod
    def state_dict(self) -> Any:
        """Return what is known, as plain tensors and lists."""

    @abstractmethod
    def load_state_dict(self, state: Any) -> None:
        """Take over a saved state."""


class LimitedMemory(InverseHessian):
    """L-BFGS: the two-loop recursion over the newest pairs.

    The initial inverse is ``y^T s / y^T y`` of the newest pair (slides, "L-BFGS").

    Args:
        pairs: How many pairs are kept.
    """

    def __init__(self, pairs: int) -> None:
        self._most = pairs
        self._pairs: tuple[tuple[Tensor, Tensor, float], ...] = ()

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self._pairs)

    @property
    def empty(self) -> bool:
        """Whether nothing is known."""
        return not self._pairs

    def direction(self, gradient: Tensor) -> Tensor:
        """Return ``-H g``."""
        found = gradient.neg()
        if not self._pairs:
            return found
        weights = []
        for step, change, inverse in reversed(self._pairs):
            weights.append(torch.dot(step, found).item() * inverse)
            found.add_(change, alpha=-weights[-1])
        step, change, _ = self._pairs[-1]
        found.mul_((torch.dot(change, step) / torch.dot(change, change)).item())
        for step, change, inverse in self._pairs:
            found.add_(step, alpha=weights.pop() - torch.dot(change, found).item() * inverse)
        return found

    def update(self, step: Tensor, change: Tensor, gradient: Tensor, length: float) -> None:
        """Take in a pair; arguments as for :meth:`InverseHessian.update`."""
        curvature = _curvature(step, change)
        if curvature is not None:
            kept = (*self._pairs, (step, change, 1.0 / curvature))
            self._pairs = kept[-self._most :]

    def forget(self) -> None:
        """Start anew."""
        self._pairs = ()

    def state_dict(self) -> Any:
        """Return what is known."""
        return [list(pair) for pair in self._pairs]

    def load_state_dict(self, state: Any) -> None:
        """Take over a saved state."""
        self._pairs = tuple((pair[0], pair[1], pair[2]) for pair in state)[-self._most :]


class SelfScaledBroyden(InverseHessian):
    """A dense member of Broyden's family, scaled before every update.

    ``H+ = (H - Hy y'H / y'Hy + phi y'Hy v v') / tau + s s' / y's`` with
    ``v = s / y's - Hy / y'Hy``; ``phi`` and ``tau`` follow Al-Baali and Khalfan (2005), as given by
    Urban, Stefanou and Pons, *Unveiling the optimization process of physics informed neural
    networks* (arXiv 2405.04230).
    The first update scales the identity.
    """

    def __init__(self) -> None:
        self._matrix: Tensor | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing is known."""
        return self._matrix is None

    def direction(self, gradient: Tensor) -> Tensor:
        """Return ``-H g``."""
        return gradient.neg() if self._matrix is None else torch.mv(self._matrix, gradient).neg_()

    def update(self, step: Tensor, change: Tensor, gradient: Tensor, length: float) -> None:
        """Take in a pair; arguments as for :meth:`InverseHessian.update`."""
        curvature = _curvature(step, change)
        if curvature is None:
            return
        first = self._matrix is None
        along = change.clone() if self._matrix is None else torch.mv(self._matrix, change)
        inner = torch.dot(change, along).item()
        # s = -a H g, so that s'Bs = -a s'g.
        model = -length * torch.dot(step, gradient).item()
        phi, tau = factors(model / curvature, inner / curvature, len(step), first=first)
        aside = step / curvature - along / inner
        size = len(step)
        matrix = (
            torch.eye(size, dtype=step.dtype, device=step.device)
            if self._matrix is None
            else self._matrix.clone()
        )
        matrix.addr_(along, along, alpha=-1.0 / inner)
        matrix.addr_(aside, aside, alpha=phi * inner)
        matrix.div_(tau)
        self._matrix = matrix.addr_(step, step, alpha=1.0 / curvature)

    def forget(self) -> None:
        """Start anew."""
        self._matrix = None

    def state_dict(self) -> Any:
        """Return what is known."""
        return self._matrix

    def load_state_dict(self, state: Any) -> None:
        """Take over a saved state."""
        self._matrix = state


def factors(b: float, h: float, size: int, *, first: bool) -> tuple[float, float]:
    """Return ``phi`` and ``tau`` of the self-scaled Broyden update.

    Args:
        b: ``s'Bs / y's``.
        h: ``y'Hy / y's``; the product of both is at least 1.
        size: Number of variables.
        first: Whether nothing was known before this pair.
    """
    a = max(b * h - 1.0, 0.0)
    if a < 1e-14:  # s and Hy are parallel: all members of the family are one
        return 1.0, h if first else min(1.0, 1.0 / b)
    rho = min(1.0, h * (1.0 - math.sqrt(a / (1.0 + a))))
    theta = max((rho - 1.0) / a, min(1.0 / rho, (1.0 - b) / b))
    sigma = 1.0 + a * theta
    phi = (1.0 - theta) / sigma
    if first:
        return phi, h / sigma
    scale, root = min(1.0, 1.0 / b), sigma ** (-1.0 / max(size - 1, 1))
    return phi, min(scale * root, sigma) if theta <= 0 else scale * min(root, 1.0 / theta)


def _curvature(step: Tensor, change: Tensor) -> float | None:
    """Return ``y^T s``; ``None`` if it is too small to be divided by."""
    inner = torch.dot(change, step).item()
    lengths = torch.linalg.vector_norm(step).item() * torch.linalg.vector_norm(change).item()
    return inner if inner > CURVED * lengths and math.isfinite(inner) else None
