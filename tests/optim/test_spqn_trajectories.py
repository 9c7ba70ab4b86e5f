"""Trajectories of ASPQN, MSPQN and their baselines beside the formulas, and where they end."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import napts
from tests.helpers.spqn import (
    ALL,
    DOUBLE,
    LAYERED,
    as_function,
    flat,
    make,
    network,
    problem_of,
    trained,
)
from tests.reference.spqn import Reference


@pytest.mark.parametrize(
    ("method", "kind"),
    [("ASPQN", "additive"), ("MSPQN", "multiplicative"), ("MomentumLBFGS", "none")],
)
def test_trajectories_are_those_of_the_formulas(method: str, kind: str) -> None:
    model = network()
    optimizer = make(method, model, 3, **({"local_steps": 4} if kind != "none" else {}))
    other = network()
    sizes = [sum(p.numel() for p in layer.parameters()) for layer in other[::2]]
    ends = np.cumsum([0, sizes[0] + sizes[1], sizes[2], sizes[3]])
    sets = [np.arange(a, b) for a, b in itertools.pairwise(ends)]
    reference = Reference(as_function(other), sets, kind, local_steps=4)
    theta = flat(other).numpy()
    for _ in range(5):
        optimizer.step(problem_of(model))
        theta = reference.step(theta)
        np.testing.assert_allclose(flat(model).numpy(), theta, rtol=0, atol=1e-7)


def test_without_a_local_phase_it_is_lbfgs_bit_for_bit() -> None:
    for momentum in (1.0, 0.9):
        plain, _ = trained("MomentumLBFGS", 12, momentum=momentum)
        for method in LAYERED:
            model, _ = trained(method, 12, 1, local_steps=0, momentum=momentum)
            assert torch.equal(flat(model), flat(plain))


def test_lbfgs_is_torch_s() -> None:
    ours, _ = trained("MomentumLBFGS", 12, momentum=1.0, pairs=4)
    model = network()
    theirs = torch.optim.LBFGS(
        model.parameters(),
        max_iter=1,
        max_eval=26,
        history_size=4,
        line_search_fn="strong_wolfe",
        tolerance_grad=0,
        tolerance_change=0,
    )
    batch = problem_of(model)

    def closure() -> Tensor:
        theirs.zero_grad()
        loss = batch()
        loss.backward()
        return loss

    for _ in range(12):
        theirs.step(closure)  # pyright: ignore[reportArgumentType]
    torch.testing.assert_close(flat(ours), flat(model), rtol=0, atol=1e-8)


@pytest.mark.parametrize("method", ALL)
def test_they_train(method: str) -> None:
    options = {"adam_steps": 5} if method == "AdamLBFGS" else {}
    _, records = trained(method, 30, **options)
    assert records[-1].trial_loss < 0.2 * records[0].loss
    losses = [r.loss for r in records]
    assert losses == sorted(losses, reverse=True) or method == "AdamLBFGS"
    assert [r.trial_loss for r in records[:-1]] == losses[1:]


def test_adam_comes_first() -> None:
    ours, _ = trained("AdamLBFGS", 7, adam_steps=7, adam_lr=0.01)
    model = network()
    theirs, batch = torch.optim.Adam(model.parameters(), lr=0.01), problem_of(model)
    for _ in range(7):
        theirs.zero_grad()
        batch().backward()
        theirs.step()
    torch.testing.assert_close(flat(ours), flat(model))
    longer, records = trained("AdamLBFGS", 8, adam_steps=7, adam_lr=0.01)
    assert records[-1].trial_loss < records[-1].loss
    assert not torch.equal(flat(ours), flat(longer))


def test_quadratics_end_where_they_should_with_self_scaled_broyden() -> None:
    torch.manual_seed(1)
    root = torch.randn(10, 10, dtype=DOUBLE)
    x = nn.Parameter(torch.ones(10, dtype=DOUBLE))
    optimizer = napts.SSBroyden([x])
    for _ in range(60):
        loss = optimizer.step(lambda: 0.5 * (root @ x).square().sum() + x.sum())
    hessian = root.T @ root
    best = -0.5 * torch.linalg.solve(hessian, torch.ones(10, dtype=DOUBLE)).sum().item()
    assert loss == pytest.approx(best, rel=1e-9)
