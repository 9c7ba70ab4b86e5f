"""The Klein-Gordon equation with a quadratic term, whose solution is known."""

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import Tensor

from napts.problems.numbers import Layers, Width
from napts.problems.pde.collocation import Domain
from napts.problems.pde.derivatives import Field
from napts.problems.pde.equation import OnSide, Pde, PdeOptions
from napts.problems.registry import register_problem

END = 12.0


class _KleinGordonOptions(PdeOptions):
    hidden_layers: Layers = 6
    width: Width = 50


@register_problem("klein-gordon")
class KleinGordon(Pde):
    """`klein-gordon`: ``u_tt - u_xx + u^2 = f`` up to ``t = 12``, solved by ``u = x cos t``.

    ``u(0, x) = x``, ``u_t(0, x) = 0``, ``u(t, +-1) = +-cos t``. Slides, "Klein-Gordon"; the lifting
    is ours, since that of the authors' code is the solution (`klein-gordon-paper-code`).
    """

    domain: ClassVar[Domain] = {"t": (0.0, END), "x": (-1.0, 1.0)}
    Options = _KleinGordonOptions

    def residual(self, u: Field, t: Tensor, x: Tensor) -> Tensor:
        """Return ``u_tt - u_xx + u^2 + x cos t - x^2 cos^2 t``."""
        exact = x * torch.cos(t)
        return u.d("tt") - u.d("xx") + u.value**2 + exact - exact**2

    def lifting(self, t: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``x + x^3 (cos t - 1)`` and ``(1 - x^2) t^2 / (1 + t^2)``, which is below 1."""
        return x + x**3 * (torch.cos(t) - 1), (1 - x) * (1 + x) * t**2 / (1 + t**2)

    def misfits(self, on: OnSide) -> Iterable[Tensor]:
        """Yield the misfits of the initial values, the initial velocity and the boundary values."""
        u, _, x = on(t=0.0)
        yield u.value - x
        yield u.d("t")
        for end in (-1.0, 1.0):
            u, t, _ = on(x=end)
            yield u.value - end * torch.cos(t)

    def reference(self, t: Tensor, x: Tensor) -> Tensor:
        """Return ``x cos t``."""
        return x * torch.cos(t)


@register_problem("klein-gordon-paper-code")
class KleinGordonPaperCode(KleinGordon):
    """`klein-gordon-paper-code`: the same with the lifting of the authors' code.

    That lifting **is the solution**: a network that is 0 everywhere solves the problem, so errors
    are small from the start and say nothing about a method. It does not meet ``u_t(0, x) = 0``
    either.
    """

    def lifting(self, t: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``x cos t``, the solution, and ``(1 - x^2) t (12 - t)``."""
        return x * torch.cos(t), (1 - x) * (1 + x) * t * (END - t)
