"""How far local gradients at the iterate are from the gradient of the loss: it must be rounding."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import napts
from napts.optim.cadam import CAdam
from napts.optim.local_model import FirstOrder
from napts.optim.objective import Objective
from napts.optim.record import PassCounts
from napts.optim.schwarz import AdditiveSchwarz
from napts.optim.vectors import Layout

ROUNDING = 1e-9
"""Relative errors below this are rounding, in double precision."""


@dataclass(frozen=True)
class Found:
    """What a comparison found.

    Attributes:
        errors: Relative error of each block's local gradient, frozen terms included.
        terms: Blocks that have such a term.
        counts: What finding the gradients cost.
    """

    errors: list[float]
    terms: set[int]
    counts: PassCounts


def gap(
    stages: napts.LayerPartition, closure: Callable[[], Tensor], *, last_block_exact: bool = False
) -> float:
    """Return the largest relative error over the blocks, as a NAPTS step would meet it."""
    return max(gaps(stages, closure, last_block_exact=last_block_exact).errors)


def gaps(
    stages: napts.LayerPartition, closure: Callable[[], Tensor], *, last_block_exact: bool = False
) -> Found:
    """Compare every local gradient with the loss's own."""
    sets = stages.parameter_sets
    expected = _gradient(closure, [p for part in sets for p in part])
    counts = PassCounts()
    objective = Objective(closure, Layout(sets), FirstOrder(), counts)
    solver = CAdam(steps=2, betas=(0.9, 0.999), eps=1e-8, cap="scale", norm="l2")
    schwarz = AdditiveSchwarz(stages, solver, last_block_exact=last_block_exact)
    whole = torch.cat([e.reshape(-1) for e in expected]).norm()
    errors, following = [], iter(expected)
    with torch.no_grad():
        point = objective.linearise(stages)
        terms = schwarz._first_order_terms(objective, point.model.gradient)
        for block, part in enumerate(sets):
            local = schwarz._local_gradient(objective, block)
            if block in terms:
                local = local + terms[block]
            own = torch.cat([next(following).reshape(-1) for _ in part])
            errors.append(float((local - own).norm() / max(own.norm(), 1e-8 * whole)))
    return Found(errors, set(terms), counts)


def _gradient(closure: Callable[[], Tensor], parameters: list[nn.Parameter]) -> list[Tensor]:
    """The gradient by autograd alone, from the same random numbers; leaves no trace in these."""
    state = torch.get_rng_state()
    with torch.enable_grad():
        found = torch.autograd.grad(closure(), parameters, allow_unused=True)
    torch.set_rng_state(state)
    pairs = zip(found, parameters, strict=True)
    return [torch.zeros_like(p) if g is None else g for g, p in pairs]
