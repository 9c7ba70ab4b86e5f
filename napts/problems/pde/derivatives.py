"""Derivatives of a function of points with respect to their coordinates, by nested autograd."""

from collections.abc import Sequence

import torch
from torch import Tensor


class Field:
    """A function at points, with its derivatives, which are computed when they are asked for.

    Its points have to require a gradient, and what is known of it to be computed pointwise: the
    derivative of a sum over the points is then that of each summand. Reverse over reverse is the
    fastest of three ways that were measured (``python -m benchmarks.pde``).

    Args:
        value: ``(n, 1)`` values, with their graph.
        points: ``(n, d)`` points.
        names: Names of the ``d`` coordinates, one letter each.

    Attributes:
        value: As given.
    """

    def __init__(self, value: Tensor, points: Tensor, names: Sequence[str]) -> None:
        self.value = value
        self._points, self._names = points, list(names)
        self._known: dict[str, Tensor] = {"": value}
        self._gradients: dict[str, Tensor] = {}

    def d(self, by: str) -> Tensor:
        """Return a partial derivative, ``(n, 1)``.

        Args:
            by: The coordinates, one letter for each derivative: ``"t"``, ``"xx"``.

        Raises:
            ValueError: If there is no such coordinate.
        """
        if by not in self._known:
            if by[-1] not in self._names:
                raise ValueError(f"d({by!r}): allowed: letters of {', '.join(self._names)}")
            column = self._names.index(by[-1])
            self._known[by] = self._gradient(by[:-1])[:, column : column + 1]
        return self._known[by]

    def _gradient(self, of: str) -> Tensor:
        """Return all first derivatives of a derivative; one pass gives them together."""
        if of not in self._gradients:
            (found,) = torch.autograd.grad(
                self.d(of).sum(), self._points, create_graph=True, materialize_grads=True
            )
            self._gradients[of] = found
        return self._gradients[of]
