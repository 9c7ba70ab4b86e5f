"""Diffusion and advection on the unit square, with two boundary layers."""

from collections.abc import Iterable
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from napts.extras import need
from napts.problems.numbers import GridPoints, Layers, Width
from napts.problems.pde import chebyshev
from napts.problems.pde.collocation import Domain
from napts.problems.pde.derivatives import Field
from napts.problems.pde.equation import OnSide, Pde, PdeOptions
from napts.problems.registry import register_problem

DIFFUSION = 1e-2
NODES = 256
"""With this many, the reference is exact to about 4e-11."""


class _TransportOptions(PdeOptions):
    hidden_layers: Layers = 10
    width: Width = 50
    grid: tuple[GridPoints, ...] = (51, 51)


@register_problem("transport")
class Transport(Pde):
    """`transport`: ``-0.01 (u_xx + u_yy) + u_x + u_y = 1`` on the unit square, 0 at its boundary.

    Slides, "Diffusion-advection"; the lifting is that of the authors' code.
    """

    domain: ClassVar[Domain] = {"x": (0.0, 1.0), "y": (0.0, 1.0)}
    test_grid = (51, 51)
    Options = _TransportOptions

    def residual(self, u: Field, x: Tensor, y: Tensor) -> Tensor:
        """Return ``-mu (u_xx + u_yy) + u_x + u_y - 1``."""
        return -DIFFUSION * (u.d("xx") + u.d("yy")) + u.d("x") + u.d("y") - 1

    def lifting(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``x (1 - x) y (1 - y)``, twice."""
        bubble = x * (1 - x) * y * (1 - y)
        return bubble, bubble

    def misfits(self, on: OnSide) -> Iterable[Tensor]:
        """Yield the values on the four sides."""
        for name in self.domain:
            for end in (0.0, 1.0):
                yield on(**{name: end})[0].value

    def reference(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the solution by Chebyshev collocation, which leads to a Sylvester equation."""
        need("scipy")
        from scipy.linalg import solve_sylvester

        at = chebyshev.nodes(NODES, 0.0, 1.0)
        first = chebyshev.differentiation(at)
        inner = (-DIFFUSION * first @ first + first)[1:-1, 1:-1]
        values = np.zeros((NODES + 1, NODES + 1))
        values[1:-1, 1:-1] = solve_sylvester(inner, inner.T, np.ones_like(inner))
        to_x, to_y = (chebyshev.interpolation(at, c.numpy().reshape(-1)) for c in (x, y))
        return torch.from_numpy(to_x @ values @ to_y.T)
