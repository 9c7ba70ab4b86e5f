"""The Allen-Cahn equation, whose solution develops thin layers."""

import math
from collections.abc import Iterable
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from napts.problems.pde import chebyshev
from napts.problems.pde.collocation import Domain
from napts.problems.pde.derivatives import Field
from napts.problems.pde.equation import OnSide, Pde
from napts.problems.pde.exponential import integrate
from napts.problems.registry import register_problem

DIFFUSION = 1e-3
NODES, STEPS = 384, 400
"""Chebyshev intervals in x and time steps of the reference, whose error is about 1e-7."""


@register_problem("allen-cahn")
class AllenCahn(Pde):
    """`allen-cahn`: ``u_t = 0.001 u_xx + 5 (u - u^3)``, ``u(0, x) = x^2 cos(pi x)``, -1 at ends.

    It is in the paper, but not on the slides; the lifting is that of the authors' code.
    """

    domain: ClassVar[Domain] = {"t": (0.0, 1.0), "x": (-1.0, 1.0)}

    def residual(self, u: Field, t: Tensor, x: Tensor) -> Tensor:
        """Return ``u_t - D u_xx - 5 (u - u^3)``."""
        return u.d("t") - DIFFUSION * u.d("xx") - 5 * (u.value - u.value**3)

    def lifting(self, t: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``x^2 cos(pi x)`` and ``(1 - x^2) t``."""
        return x**2 * torch.cos(math.pi * x), (1 - x) * (1 + x) * t

    def misfits(self, on: OnSide) -> Iterable[Tensor]:
        """Yield the misfits of the initial and the boundary values."""
        u, _, x = on(t=0.0)
        yield u.value - x**2 * torch.cos(math.pi * x)
        for end in (-1.0, 1.0):
            yield on(x=end)[0].value + 1

    def reference(self, t: Tensor, x: Tensor) -> Tensor:
        """Return the solution by Chebyshev collocation in x and exponential integration in time."""
        at = chebyshev.nodes(NODES)
        first = chebyshev.differentiation(at)
        diffusion = DIFFUSION * (first @ first)[1:-1, 1:-1]
        start = (at**2 * np.cos(np.pi * at))[1:-1] + 1  # of w = u + 1, which is 0 at the ends

        def reaction(w: chebyshev.Array) -> chebyshev.Array:
            return 5 * (w - 1) * w * (2 - w)

        states = integrate(diffusion, reaction, start, t.numpy().reshape(-1), 1.0 / STEPS)
        inside = np.pad(states, ((0, 0), (1, 1))) - 1
        return torch.from_numpy(inside @ chebyshev.interpolation(at, x.numpy().reshape(-1)).T)
