"""What a closure may do: derivatives inside, hooks; and what it may not."""

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import napts
from tests.helpers.networks import batch, closure, make, plain, same, snapshot


def _pinn(model: nn.Module) -> Any:
    """The loss of u'' = -u with u(0) = 1, on a network of one input."""
    points = torch.linspace(0, 1, 20, dtype=torch.float64)[:, None]

    def loss() -> Tensor:
        x = points.clone().requires_grad_()
        u = model(x)
        (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        (curve,) = torch.autograd.grad(slope.sum(), x, create_graph=True)
        return (curve + u).square().mean() + (u[0] - 1).square().sum() + slope[0].square().sum()

    return loss


def _penalty(model: nn.Module) -> Any:
    """Cross-entropy and a penalty on the gradient by the input."""
    inputs, targets = batch()

    def loss() -> Tensor:
        x = inputs.clone().requires_grad_()
        value = nn.functional.cross_entropy(model(x), targets)
        (slope,) = torch.autograd.grad(value, x, create_graph=True)
        return value + slope.square().sum()

    return loss


def _watched(model: nn.Module) -> Any:
    """A hook on an activation, which only a tensor with a graph can have."""
    inputs, targets = batch()

    def loss() -> Tensor:
        hidden = model(inputs)
        hidden.register_hook(lambda gradient: gradient)
        return nn.functional.cross_entropy(hidden, targets)

    return loss


def _narrow() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 1))


METHODS = {
    "TR": lambda m: napts.TR(m.parameters()),
    "TR2": lambda m: napts.TR(m.parameters(), order=2),
    "reeval": lambda m: napts.NTR(m.parameters(), history_scope="reeval", radius=0.5),
    "APTSW": lambda m: napts.APTSW(napts.deal_parameters(m, 2)),
    "light": lambda m: napts.NAPTS(napts.partition_layers(m, 2), **napts.preset("NAPTS", "light")),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", [_pinn, _penalty, _watched])
def test_derivatives_inside_the_loss(method: str, kind: Any) -> None:
    model = (_narrow if kind is _pinn else plain)().double()
    optimizer, calls = METHODS[method](model), 0
    loss = kind(model)

    def counted() -> Tensor:
        nonlocal calls
        calls += 1
        return loss()

    losses = []
    for _ in range(15):
        calls = 0
        losses.append(optimizer.step(counted))
        assert optimizer.last_step.forwards == calls
    assert optimizer.last_step.trials[-1].loss < losses[0]
    assert losses[-1] < losses[0]


def test_only_the_first_trial_is_evaluated_twice() -> None:
    """And then from where the first one began: as if the closure always had a graph."""
    model = nn.Sequential(plain(), nn.Dropout(0.2), nn.BatchNorm1d(4)).double()
    twin = copy.deepcopy(model)
    loss, same_loss = _penalty(model), _penalty(twin)

    def with_graph() -> Tensor:
        with torch.enable_grad():
            return same_loss()

    def train(optimizer: napts.TR, evaluate: Any) -> tuple[list[float], list[float]]:
        torch.manual_seed(1)
        pairs = [(optimizer.step(evaluate), optimizer.last_step.forwards) for _ in range(4)]
        return [loss for loss, _ in pairs], [forwards for _, forwards in pairs]

    losses, forwards = train(napts.TR(model.parameters()), loss)
    expected, least = train(napts.TR(twin.parameters()), with_graph)
    assert losses == expected
    assert same(snapshot(model), snapshot(twin))
    assert forwards == [least[0] + 1, *least[1:]]


def test_other_closures_have_no_graph_in_trials() -> None:
    model, graphs = plain(), []

    def watched() -> Tensor:
        graphs.append(torch.is_grad_enabled())
        return closure(model, batch())()

    optimizer = napts.TR(model.parameters())
    for _ in range(3):
        optimizer.step(watched)
    assert graphs == [True, False] * 3


def test_derivatives_inside_the_loss_of_a_part() -> None:
    model = plain()
    inputs, targets = batch()

    def loss(x: Tensor, y: Tensor) -> Tensor:
        x = x.clone().requires_grad_()
        value = nn.functional.cross_entropy(model(x), y)
        (slope,) = torch.autograd.grad(value, x, create_graph=True)
        return value + slope.square().sum()

    optimizer = napts.APTSD(model.parameters(), shards=2, radius=0.2)
    losses = [optimizer.step(napts.SplitBatch(loss, inputs, targets)) for _ in range(5)]
    assert losses[-1] < losses[0]


def test_errors_of_the_closure_stay_what_they_are() -> None:
    model, calls = plain(), 0

    def failing() -> Tensor:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise RuntimeError("no memory left")
        return closure(model, batch())()

    with pytest.raises(RuntimeError, match="no memory left"):
        napts.TR(model.parameters()).step(failing)
    assert calls == 2


@pytest.mark.filterwarnings("ignore:.*found in .grad are not used")
@pytest.mark.parametrize("detached", [True, False])
@pytest.mark.parametrize("zeroed", [True, False])
def test_backward_in_the_closure(detached: bool, zeroed: bool) -> None:
    """As Lightning's automatic optimization does it, in the first step and in later ones."""
    model = plain()
    optimizer = napts.TR(model.parameters())

    def backward() -> Tensor:
        if zeroed:
            optimizer.zero_grad()
        loss = closure(model, batch())()
        loss.backward()
        return loss.detach() if detached else loss

    for _ in range(3):
        with pytest.raises(ValueError, match=r"must not call backward.*automatic_optimization"):
            optimizer.step(backward)


def test_a_loss_without_parameters() -> None:
    model = plain()
    with pytest.raises(ValueError, match="does not depend on the optimizer's parameters"):
        napts.TR(model.parameters()).step(lambda: torch.tensor(1.0))


def _poison(model: nn.Module) -> Any:
    """A finite loss whose gradient is NaN: the root of 0 times 0."""
    inputs, targets = batch()

    def loss() -> Tensor:
        value = nn.functional.cross_entropy(model(inputs), targets)
        return value + (0 * next(model.parameters())).sum().sqrt()

    return loss


KEPT: list[tuple[str, dict[str, Any]]] = [
    ("NAPTS", napts.preset("NAPTS", "light")),
    ("NAPTS", {"moments": "kept"}),
    ("APTS", {"moments": "kept"}),
    ("APTSA", {"moments": "kept"}),
]


@pytest.mark.parametrize(("method", "options"), KEPT)
def test_one_gradient_that_is_not_finite_does_not_end_the_training(
    method: str, options: dict[str, Any]
) -> None:
    model = plain()
    optimizer = make(method, model, **options)
    for _ in range(3):
        optimizer.step(closure(model, batch()))
    before = snapshot(model)
    loss = optimizer.step(_poison(model))
    assert math.isfinite(loss)
    assert same(before, snapshot(model))
    assert all(p.isfinite().all() for p in model.parameters())
    losses = [optimizer.step(closure(model, batch())) for _ in range(5)]
    assert losses[-1] < losses[0] <= loss


@pytest.mark.parametrize("saved", [False, True])
def test_pairs_of_a_gradient_that_is_not_finite_are_left_out(saved: bool) -> None:
    model = plain()
    optimizer = napts.TR(model.parameters(), order=2)
    for _ in range(3):
        optimizer.step(closure(model, batch()))
    optimizer.step(_poison(model))
    if saved:
        optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    losses = [optimizer.step(closure(model, batch())) for _ in range(6)]
    assert losses[-1] < losses[0]
    state = optimizer.state_dict()["state"][0]["local_model"]
    assert math.isfinite(state["base"])
    pairs = [part for pair in state["pairs"] for vector in pair for part in vector]
    assert pairs
    assert all(part.isfinite().all() for part in pairs)


def test_a_saved_state_that_is_not_finite_is_left_out() -> None:
    model = plain()
    optimizer = make("NAPTS", model, **napts.preset("NAPTS", "light"))
    optimizer.step(closure(model, batch()))
    saved = optimizer.state_dict()
    saved["state"][0]["moments"]["second"][1][0] = math.nan
    optimizer.load_state_dict(saved)
    losses = [optimizer.step(closure(model, batch())) for _ in range(5)]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("method", ["TR", "NTR", "APTSW"])
def test_a_small_loss_takes_the_same_steps(method: str) -> None:
    """f times 2^-40 has the same iterates: nothing that counts has a unit."""
    model, small = plain(), plain()
    options = {"radius": 0.5, "radius_max": 2.0, "radius_min": 1e-9}
    one, other = make(method, model, **options), make(method, small, **options)
    for step in range(25):
        loss = one.step(closure(model, batch(step % 2)))
        value = closure(small, batch(step % 2))
        assert other.step(lambda value=value: value() * 2.0**-40) == loss * 2.0**-40
        pairs = zip(one.last_step.trials, other.last_step.trials, strict=True)
        assert all(a.accepted == b.accepted for a, b in pairs)
    assert same(snapshot(model), snapshot(small))


@pytest.mark.parametrize("method", ["NAPTS", "APTSA"])
@pytest.mark.parametrize("norm", ["l2", "inf"])
@pytest.mark.parametrize("dead", ["some", "all"])
def test_a_dead_subdomain_where_numbers_stay_on_the_device(
    method: str, norm: str, dead: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What happens on CUDA, where a length is a tensor: 0 / 0."""
    monkeypatch.setattr("napts.optim.vectors.number", lambda value: value)
    model, weight = plain(), 0.0 if dead == "all" else 1.0
    with torch.no_grad():
        model[2].bias.fill_(-100.0)  # nothing passes the ReLU: no gradient before it
    optimizer = make(method, model, shares="joint", norm=norm, radius=0.05)
    before = snapshot(model)
    for _ in range(3):
        optimizer.step(lambda: closure(model, batch())() * weight)
        assert all(p.isfinite().all() for p in model.parameters())
        assert optimizer.last_step.accepted or dead == "all"
        for trial in optimizer.last_step.trials:
            assert math.isfinite(trial.predicted_reduction)
            assert math.isfinite(trial.trial_loss) or not trial.evaluated
    after = snapshot(model)
    moved = {name for name in after if not torch.equal(before[name], after[name])}
    assert moved == (set() if dead == "all" else {"4.bias", "6.weight", "6.bias"})


@pytest.mark.parametrize("method", ["TR", "NTR", "APTSW", "NAPTS"])
def test_a_loss_of_another_model(method: str) -> None:
    """As after copying the optimizer without its model."""
    model, other = plain(), plain()
    optimizer = make(method, model)
    with pytest.raises((ValueError, RuntimeError), match=r"use another model|call the partitioned"):
        optimizer.step(closure(other, batch()))


def test_gradients_and_parameters_of_other_kinds() -> None:
    sparse = nn.Sequential(nn.EmbeddingBag(10, 4, sparse=True), nn.Linear(4, 2))
    with pytest.raises(ValueError, match="a gradient is sparse, allowed: dense"):
        napts.TR(sparse.parameters()).step(lambda: sparse(torch.arange(6).view(2, 3)).sum())
    weight = nn.Parameter(torch.ones(3, dtype=torch.complex64))
    with pytest.raises(ValueError, match="has complex parameters, allowed: real"):
        napts.NTR([weight]).step(lambda: weight.abs().sum())
