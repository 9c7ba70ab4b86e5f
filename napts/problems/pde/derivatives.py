"""Derivatives of a function of points with respect to their coordinates, by nested autograd."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


class Field:
    """A function at points, with its derivatives, which are computed on request.

    The points must require a gradient, and the values must be computed pointwise: the derivative of
    a sum over the points is then that of each summand. Reverse over reverse is the fastest of three
    ways that were measured (``python -m benchmarks.pde``).

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

    @property
    def differentiated(self) -> tuple[str, ...]:
        """The derivatives whose own first derivatives are known, lowest order first."""
        return tuple(self._gradients)

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
        """Return all first derivatives of a derivative; one pass gives them all."""
        if of not in self._gradients:
            (found,) = torch.autograd.grad(
                self.d(of).sum(), self._points, create_graph=True, materialize_grads=True
            )
            self._gradients[of] = found
        return self._gradients[of]


Slopes = dict[str, Tensor]
"""All first derivatives of the function (``""``) and of derivatives of it, ``(n, d)`` each."""

# By names, since torch.compile evaluates annotations of inner functions and takes no tuple[...].
_Known = tuple[Tensor, Slopes]
_Knowing = Callable[[Tensor], _Known]


class PlannedField(Field):
    """A field whose derivatives are transforms of its function, known from the start.

    `torch.compile` accepts these, and differentiates the result once by the parameters; it does not
    accept gradients of gradients. Derivatives that are not planned are computed on request, with
    the lower derivatives that they need computed once more.

    Args:
        function: Takes ``(n, d)`` points to ``(n, 1)`` values.
        points: ``(n, d)`` points.
        names: Names of the ``d`` coordinates, one letter each.
        plan: What to differentiate: ``""`` is the function, ``"x"`` its derivative. Derivatives
            that others need come first.
    """

    def __init__(
        self,
        function: Callable[[Tensor], Tensor],
        points: Tensor,
        names: Sequence[str],
        plan: Sequence[str] = (),
    ) -> None:
        self._function = function
        value, slopes = _with_slopes(function, list(names), plan)(points)
        super().__init__(value, points, names)
        self._gradients.update(slopes)

    def _gradient(self, of: str) -> Tensor:
        if of not in self._gradients:
            plan = [of[:order] for order in range(len(of) + 1)]
            _, slopes = _with_slopes(self._function, self._names, plan)(self._points)
            self._gradients.update(slopes)
        return self._gradients[of]


def _with_slopes(
    function: Callable[[Tensor], Tensor], names: list[str], plan: Sequence[str]
) -> _Knowing:
    """Return a function of points that gives the values and the slopes of a plan, each once."""

    def plain(points: Tensor) -> _Known:
        return function(points), {}

    found = plain
    for of in plan:
        found = _extended(found, names, of)
    return found


def _extended(known: _Knowing, names: list[str], of: str) -> _Knowing:
    """Return the same function, with the slopes of one more derivative."""

    def total(points: Tensor) -> Any:
        value, slopes = known(points)
        summands = slopes[of[:-1]][:, names.index(of[-1])] if of else value
        return summands.sum(), (value, slopes)

    def extended(points: Tensor) -> _Known:
        found, (value, slopes) = torch.func.grad(total, has_aux=True)(points)
        return value, {**slopes, of: found}

    return extended
