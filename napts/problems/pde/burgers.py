"""Burgers' equation, with Cole and Hopf's solution."""

import math
from collections.abc import Iterable
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from napts.problems.pde.collocation import Domain
from napts.problems.pde.derivatives import Field
from napts.problems.pde.equation import OnSide, Pde
from napts.problems.registry import register_problem

VISCOSITY = 0.01 / math.pi


@register_problem("burgers")
class Burgers(Pde):
    """`burgers`: ``u_t + u u_x = (0.01 / pi) u_xx``, ``u(0, x) = -sin(pi x)``, ``u(t, +-1) = 0``.

    Slides, "Burgers"; the lifting is that of the authors' code.
    """

    domain: ClassVar[Domain] = {"t": (0.0, 1.0), "x": (-1.0, 1.0)}

    def residual(self, u: Field, t: Tensor, x: Tensor) -> Tensor:
        """Return ``u_t + u u_x - nu u_xx``."""
        return u.d("t") + u.value * u.d("x") - VISCOSITY * u.d("xx")

    def lifting(self, t: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``-sin(pi x)`` and ``(1 - x^2) t``."""
        return _start(x), (1 - x) * (1 + x) * t

    def misfits(self, on: OnSide) -> Iterable[Tensor]:
        """Yield the misfits of the initial and the boundary values."""
        u, _, x = on(t=0.0)
        yield u.value - _start(x)
        for end in (-1.0, 1.0):
            yield on(x=end)[0].value

    def reference(self, t: Tensor, x: Tensor) -> Tensor:
        """Return Cole and Hopf's integrals with 120 Gauss-Hermite nodes; 50 give only 7 digits."""
        roots, weights = map(torch.from_numpy, np.polynomial.hermite.hermgauss(120))
        y = x[..., None] - torch.sqrt(4 * VISCOSITY * t)[..., None] * roots
        exponent = -torch.cos(math.pi * y) / (2 * math.pi * VISCOSITY)
        density = weights * torch.exp(exponent - exponent.amax(-1, keepdim=True))
        found = -(density * torch.sin(math.pi * y)).sum(-1) / density.sum(-1)
        return torch.where(t == 0, _start(x), found)


def _start(x: Tensor) -> Tensor:
    return -_sine(x)


def _sine(x: Tensor) -> Tensor:
    """Return ``sin(pi x)``, which is exactly 0 at integers."""
    return torch.sin(math.pi * x) * (x.frac() != 0)
