"""The multiplicatively preconditioned quasi-Newton method of the slides."""

from typing import TypedDict, Unpack

from napts.optim.quasi_newton.function import Function, Point
from napts.optim.quasi_newton.layer_method import LayerMethod
from napts.optim.quasi_newton.local_phase import Multiplicative
from napts.optim.quasi_newton.optimizer import Costs
from napts.optim.quasi_newton.options import LocalPhaseOptions, QuasiNewtonOptions
from napts.optim.subdomains import ParameterSets


class MSPQNOptions(LocalPhaseOptions, QuasiNewtonOptions, TypedDict, total=False):
    """Options of :class:`MSPQN`."""


class MSPQN(LayerMethod):
    r"""Multiplicative Schwarz preconditioned quasi-Newton method.

    The steps of an iteration, as on the slides:

    0. The first iteration of a run is an L-BFGS step, which gives the memory its first pair.
    1. The subdomains take ``local_steps`` L-BFGS steps over their own layers, one after the other,
       from the input to the output, each from the result of the one before.
    2. ``theta'`` is the result of the last one: the length is 1, without a search.
    3. ``p = -H g`` with the gradient ``g`` at ``theta'``, by the two-loop recursion.
    4. ``v <- (1 - mu) v + mu p``.
    5. ``theta'' = theta' + b v``, ``b`` by a strong Wolfe search.
    6. The memory takes in the pair ``theta'' - theta'`` and the change of the gradient along it.

    Every evaluation of a search is a gradient and counts as one: about ``local_steps + 1`` of each
    subdomain, which have to wait for one another, and two of the whole. The method is meant for
    full batches.

    Args:
        sets: The subdomains, from :func:`napts.split_layers`; other sets of parameters work too.

    Raises:
        ValueError: If an argument is out of range.

    Reference: As for :class:`ASPQN`.

    Example:
        >>> sets = napts.split_layers(model, n_subdomains=8)
        >>> optimizer = napts.MSPQN(sets, local_steps=10)
    """

    def __init__(self, sets: ParameterSets, **options: Unpack[MSPQNOptions]) -> None:
        super().__init__(sets, options)

    def _advance(self, function: Function, at: Point) -> tuple[Point, Costs]:
        spaces, steps = self._subdomains(function), self._own_options()["local_steps"]
        if self._iterations == 0 or not steps:
            return self._quasi_newton_step(function, at), Costs(published=1.0)  # 0
        coarse = self._coarse(function, at)
        local = Multiplicative(spaces, self._solvers).run(function, coarse)  # 1
        half = function.at(coarse.theta + local.correction)  # 2
        end = self._quasi_newton_step(function, half)  # 3 to 6
        self._commit(function)
        return end, Costs(
            published=2.0 + steps * len(spaces) + self._published_coarse(len(spaces)),
            update=1.0 + steps * sum(space.size for space in spaces) / len(at.theta),
        )
