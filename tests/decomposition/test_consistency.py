"""Local gradients at the iterate are those of the loss: other terms, several calls, autocast."""

import math
import runpy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import napts
from napts.decomposition import structure
from tests.helpers.gap import ROUNDING, gap, gaps
from tests.helpers.networks import batch, closure, smooth, with_relu


def _weights(model: nn.Module, data: tuple[Tensor, Tensor]) -> Tensor:
    penalty = sum((p**2).sum() for p in model.parameters())
    return closure(model, data)() + 0.1 * penalty


def _activations(model: Any, data: tuple[Tensor, Tensor]) -> Tensor:
    seen: list[Tensor] = []
    # The layers themselves, not the places between blocks.
    handles = [m.register_forward_hook(lambda _m, _i, o: seen.append(o)) for m in model[:2]]
    loss = closure(model, data)()
    for handle in handles:
        handle.remove()
    return loss + sum(a.abs().mean() for a in seen)


def _slope(model: nn.Module, data: tuple[Tensor, Tensor]) -> Tensor:
    inputs = data[0].clone().requires_grad_()
    outputs = model(inputs)
    (slope,) = torch.autograd.grad(outputs.sum(), inputs, create_graph=True)
    return functional.cross_entropy(outputs, data[1]) + (slope**2).mean()


TERMS: dict[str, Callable[[Any, tuple[Tensor, Tensor]], Tensor]] = {
    "weights": _weights,
    "activations": _activations,
    "derivatives by the input": _slope,
}


@pytest.mark.parametrize("terms", TERMS)
@pytest.mark.parametrize("last_block_exact", [False, True])
def test_other_terms_are_followed_to_first_order(terms: str, last_block_exact: bool) -> None:
    model, data = smooth() if terms.startswith("deriv") else with_relu(), batch()
    stages = napts.partition_layers(model, 3)
    if last_block_exact and terms.startswith("deriv"):
        with pytest.raises(RuntimeError, match="allowed: last_block_exact=False"):
            gap(stages, lambda: TERMS[terms](model, data), last_block_exact=True)
        return
    for _ in range(3):
        found = gap(stages, lambda: TERMS[terms](model, data), last_block_exact=last_block_exact)
        assert found < ROUNDING


def test_a_term_costs_a_local_pass_where_there_is_one() -> None:
    model, data = with_relu(), batch()
    stages = napts.partition_layers(model, 3)

    def cost(loss: Callable[[], Tensor]) -> tuple[int, int, set[int]]:
        found = gaps(stages, loss)
        assert max(found.errors) < ROUNDING
        return found.counts.local_passes, found.counts.checks, found.terms

    assert cost(closure(model, data)) == (0, 1, set())
    assert cost(closure(model, data)) == (0, 0, set())
    assert cost(lambda: _weights(model, data)) == (1, 0, {0, 1, 2})
    # Nothing is left of it where the loss has no such term.
    assert cost(closure(model, data)) == (0, 0, set())


def test_a_penalised_proposal_is_rejected_no_more_often_than_others() -> None:
    """Without the term 26 of 40 proposals are rejected at this weight."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4)
    ).double()
    optimizer = napts.NAPTS(napts.partition_layers(model, 3))
    rejected = 0
    for step in range(40):
        optimizer.step(lambda s=step: _weights(model, batch(s % 4)))
        assert optimizer.last_step is not None
        rejected += optimizer.last_step.rejections_proposal
    assert rejected <= 12


class Pinn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(
            nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        return self.net(inputs)


def _poisson(model: nn.Module) -> Callable[[], Tensor]:
    """``-u'' = pi^2 sin(pi x)`` with zero boundary values, in two calls."""
    inside = torch.linspace(-1, 1, 41, dtype=torch.float64)[1:-1, None]
    ends = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)

    def loss() -> Tensor:
        x = inside.clone().requires_grad_()
        u = model(x)
        (first,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(first.sum(), x, create_graph=True)
        residual = second + math.pi**2 * torch.sin(math.pi * x)
        return (residual**2).mean() / 100 + (model(ends) ** 2).mean()

    return loss


@pytest.mark.parametrize("method", ["NAPTS", "APTS"])
def test_a_physics_informed_network_trains(method: str) -> None:
    model = Pinn().double()
    stages = napts.partition_layers(model, 3)
    assert gap(stages, _poisson(model)) < ROUNDING
    optimizer = getattr(napts, method)(stages, radius_min=1e-6)
    losses = [optimizer.step(_poisson(model)) for _ in range(60)]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("calls", [2, 5])
def test_several_calls_are_captured(calls: int) -> None:
    model = with_relu()
    parts = [batch(seed) for seed in range(calls)]
    stages = napts.partition_layers(model, 3)

    def loss() -> Tensor:
        return sum(w * closure(model, part)() for w, part in enumerate(parts, 1))  # pyright: ignore[reportReturnType]

    assert gap(stages, loss) < ROUNDING
    assert gap(stages, loss, last_block_exact=True) < ROUNDING
    optimizer = napts.NAPTS(stages, local_steps=3)
    values = [optimizer.step(loss) for _ in range(8)]
    assert optimizer.last_step is not None
    assert values[-1] < values[0]


def test_a_call_on_the_output_of_another() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 6)).double()
    inputs, _ = batch()
    stages = napts.partition_layers(model, 2)
    assert gap(stages, lambda: model(model(inputs)).square().mean()) < ROUNDING


def test_calls_without_gradients_are_let_through() -> None:
    model, data = with_relu(), batch()
    stages = napts.partition_layers(model, 3)

    def loss() -> Tensor:
        with torch.no_grad():
            target = model(data[0])
        return (model(data[0]) - 0.5 * target).square().mean()

    assert gap(stages, loss) < ROUNDING


@pytest.mark.parametrize("where", ["inside", "around"])
def test_autocast_reaches_local_passes(where: str) -> None:
    """Outputs of blocks have the type that they had in the captured pass."""
    model = with_relu().float()
    data = batch(dtype=torch.float32)
    stages = napts.partition_layers(model, 3)

    def inside() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return closure(model, data)()

    if where == "inside":
        found = gap(stages, inside)
    else:
        with torch.autocast("cpu", torch.bfloat16):
            found = gap(stages, closure(model, data))
    assert found < 1e-6


@torch.no_grad()
def test_the_package_may_be_imported_without_gradients() -> None:
    names = runpy.run_path(structure.__file__, run_name="structure")
    assert names["_ACCUMULATE"].__name__ == "AccumulateGrad"
