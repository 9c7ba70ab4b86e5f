"""The same cycle on networks: residual ones of 2, 4 and 8 blocks, as one equation in time."""

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from napts.optim import vectors
from napts.optim.acceptance import RadiusRule
from napts.optim.batch import SplitBatch
from napts.optim.local_solver import Allowance
from napts.optim.local_trust_region import LocalTrustRegion
from napts.optim.multilevel.conjugate_gradients import ConjugateGradients
from napts.optim.multilevel.cycle import Cycle, Levels, Smoothing
from napts.optim.multilevel.globalisation import TrustRegion
from napts.optim.multilevel.level import LevelProblem, Models
from napts.optim.multilevel.newton_cg import NewtonModels
from napts.optim.quadratic_model import SecondOrder
from napts.optim.sr1 import LimitedMemorySR1
from napts.optim.sums import BatchSum, CountedSum, SumCounts
from napts.optim.vectors import Layout, Vector

WIDTH = 4
RULE = RadiusRule(1e-12, 1e12, 0.5, 2.0, 0.25, 0.75)


class Residual(nn.Module):
    """``y <- y + dt tanh(W_k y + b_k)`` for each block, ``dt = 1 / blocks``."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        torch.manual_seed(blocks)
        self.first, self.last = nn.Linear(2, WIDTH), nn.Linear(WIDTH, 1)
        self.blocks = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(blocks))
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        y = torch.tanh(self.first(x))
        for block in self.blocks:
            y = y + torch.tanh(block(y)) / len(self.blocks)
        return self.last(y)

    def layout(self) -> Layout:
        """One block of a vector for each layer."""
        layers = [self.first, *self.blocks, self.last]
        return Layout([list(layer.parameters()) for layer in layers])


class Time:
    """Two blocks for each coarser one; the layers before and after them are the same."""

    stretch = math.sqrt(2.0)

    def restrict(self, gradient: Vector) -> Vector:
        first, *inner, last = gradient
        return [first, *map(torch.add, inner[::2], inner[1::2]), last]

    def project(self, theta: Vector) -> Vector:
        first, *_, last = theta
        return [first, *(0.5 * block for block in self.restrict(theta)[1:-1]), last]

    def prolong(self, step: Vector) -> Vector:
        first, *inner, last = step
        return [first, *(block for block in inner for _ in range(2)), last]


def _sum(model: Residual, counts: SumCounts) -> CountedSum:
    torch.manual_seed(0)
    inputs = torch.randn(40, 2).double()
    targets = torch.sin(inputs[:, :1]) * inputs[:, 1:]

    def loss(x: Tensor, y: Tensor) -> Tensor:
        penalty = sum(p.square().sum() for p in model.parameters()) / len(model.blocks)
        return (model(x) - y).square().mean() + 1e-3 * penalty

    return CountedSum(BatchSum(SplitBatch(loss, inputs, targets), model.layout()), counts)


def _random(layout: Layout, seed: int) -> Vector:
    torch.manual_seed(seed)
    return [torch.randn_like(flat) for flat in layout.read()]


@torch.no_grad()
def test_transfers_between_networks() -> None:
    fine, coarse, time = Residual(8).layout(), Residual(4).layout(), Time()
    gradient, step = _random(fine, 1), _random(coarse, 2)
    assert vectors.dot(time.restrict(gradient), step) == pytest.approx(
        vectors.dot(gradient, time.prolong(step))
    )
    assert all(map(torch.equal, time.project(time.prolong(step)), step))
    for kind in ("l2", "inf"):
        stretched, length = vectors.norm(time.prolong(step), kind), vectors.norm(step, kind)
        assert length <= stretched <= time.stretch * length


def sr1(_function: Any) -> SecondOrder:
    return SecondOrder("l2", LimitedMemorySR1(10))


newton: Callable[..., Any] = partial(NewtonModels, solver=ConjugateGradients(10, 0.1))


@torch.no_grad()
@pytest.mark.parametrize("visits", [1, 2])
@pytest.mark.parametrize("models", [sr1, newton], ids=["sr1", "newton"])
def test_training_on_three_levels(models: Models, visits: int) -> None:
    """The loss never rises, and falls much further than the same steps on the finest alone."""
    networks, counts = [Residual(blocks) for blocks in (2, 4, 8)], SumCounts()
    functions = [_sum(network, counts) for network in networks]
    local = LocalTrustRegion(1, RULE)
    cycle = Cycle(
        LocalTrustRegion(5, RULE),
        [Smoothing(local)] * 2,
        TrustRegion(RULE),
        visits=visits,
        kappa=0.5,
        models=[models] * 3,
    )
    alone = Cycle(local, [], models=[models])
    ends = []
    for way, levels in (
        (cycle, Levels(functions, [Time(), Time()])),
        (alone, Levels(functions[2:])),
    ):
        theta, radius, losses = _random(networks[2].layout(), 3), 0.5, []
        theta = vectors.scale(0.3, theta)
        for _ in range(12):
            loss, slope = functions[2].value_and_gradient(theta)
            losses.append(loss)
            problem = LevelProblem(functions[2], theta, slope, loss, models=models)
            found = way.run(levels, problem, Allowance(radius, reach=math.inf))
            assert found.theta is not None
            assert found.radius is not None
            theta, radius = found.theta, found.radius
        assert all(after <= before for before, after in pairwise(losses))
        ends.append(losses[-1])
    assert ends[0] < 0.8 * ends[1]


@torch.no_grad()
def test_a_coarser_network_has_the_gradient_of_the_finer_one() -> None:
    counts, networks = SumCounts(), [Residual(blocks) for blocks in (4, 8)]
    functions = [_sum(network, counts) for network in networks]
    theta, time = vectors.scale(0.3, _random(networks[1].layout(), 3)), Time()
    loss, slope = functions[1].value_and_gradient(theta)
    fine = LevelProblem(functions[1], theta, slope, loss)
    origin, wanted = time.project(theta), time.restrict(slope)
    consistent = Levels(functions, [time]).consistent(0, fine, origin, wanted)
    again = [flat.clone() for flat in origin]
    torch.testing.assert_close(
        consistent.value_and_gradient(again)[1], wanted, rtol=0.0, atol=1e-14
    )
