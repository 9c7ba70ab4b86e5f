"""The additively preconditioned quasi-Newton method of the slides."""

from typing import TypedDict, Unpack

import torch

from napts.optim.quasi_newton.function import Function, Point
from napts.optim.quasi_newton.layer_method import LayerMethod
from napts.optim.quasi_newton.local_phase import Additive
from napts.optim.quasi_newton.optimizer import Costs
from napts.optim.quasi_newton.options import LocalPhaseOptions, QuasiNewtonOptions
from napts.optim.subdomains import ParameterSets


class ASPQNOptions(LocalPhaseOptions, QuasiNewtonOptions, TypedDict, total=False):
    """Options of :class:`ASPQN`."""


class ASPQN(LayerMethod):
    r"""Additive Schwarz preconditioned quasi-Newton method.

    The steps of an iteration, as on the slides:

    0. The first iteration of a run is an L-BFGS step, which gives the memory its first pair.
    1. Every subdomain takes ``local_steps`` L-BFGS steps over its own layers, all from the same
       iterate ``theta``.
    2. ``theta' = theta + a d`` with the sum ``d`` of their steps, ``a`` by a strong Wolfe search.
    3. ``p = -H g`` with the gradient ``g`` at ``theta'``, by the two-loop recursion.
    4. ``v <- (1 - mu) v + mu p``.
    5. ``theta'' = theta' + b v``, ``b`` by a strong Wolfe search.
    6. The memory takes in the pair ``theta'' - theta'`` and the change of the gradient along it.

    Every evaluation of a search is a gradient and counts as one: about ``local_steps + 1`` of each
    subdomain, which could run at the same time, and three of the whole. The method is meant for
    full batches.

    Args:
        sets: The subdomains, from :func:`napts.split_layers`; other sets of parameters work too.

    Raises:
        ValueError: If an argument is out of range.

    Reference: Kopanicakova, Kothari, Karniadakis, Krause, *Enhancing training of physics-informed
    neural networks using domain-decomposition based preconditioning strategies* (2023), arXiv
    2306.17648, as on the slides of Krause and others; details from the authors' code. Two rules are
    ours: a correction that is not a descent direction is left out, and local memories start anew.

    Example:
        >>> sets = napts.split_layers(model, n_subdomains=8)
        >>> optimizer = napts.ASPQN(sets, local_steps=10)
    """

    shared_by = "subdomains"

    def __init__(self, sets: ParameterSets, **options: Unpack[ASPQNOptions]) -> None:
        super().__init__(sets, options)

    def _advance(self, function: Function, at: Point) -> tuple[Point, Costs]:
        spaces, steps = self._subdomains(function), self._own_options()["local_steps"]
        if self._iterations == 0 or not steps:
            return self._quasi_newton_step(function, at), Costs(published=1.0)  # 0
        coarse = self._coarse(function, at)
        local = Additive(spaces, self._solvers).run(function, coarse)  # 1
        correction = coarse.theta - at.theta + local.correction
        slope = torch.dot(at.gradient, correction).item()
        half = self._search(function, at, correction, slope)[0] if slope < 0.0 else at  # 2
        end = self._quasi_newton_step(function, half)  # 3 to 6
        self._commit(function)
        return end, Costs(
            published=2.0 + steps + self._published_coarse(len(spaces)),
            beside=local.beside,
            update=1.0 + steps * max(space.size for space in spaces) / len(at.theta),
            skipped=int(half is at),
        )
