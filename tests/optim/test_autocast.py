"""Autocast keeps converted weights: around a step they must be those of the present iterate."""

from typing import Any

import pytest
import torch
from torch import nn

import napts
from napts.optim import Baseline
from tests.helpers.networks import batch, closure, plain

METHODS: dict[str, Any] = {
    "TR": lambda m: napts.TR(m.parameters()),
    "NTR": lambda m: napts.NTR(m.parameters(), history_scope="reeval", radius=0.5),
    "NAPTS": lambda m: napts.NAPTS(napts.partition_layers(m, 4), radius=0.5),
    "APTSA": lambda m: napts.APTSA(napts.partition_layers(m, 4), radius=0.1),
    "light": lambda m: napts.NAPTS(napts.partition_layers(m, 4), **napts.preset("NAPTS", "light")),
    "APTSW": lambda m: napts.APTSW(napts.deal_parameters(m, 2), radius=0.05),
    "Adam": lambda m: Baseline(torch.optim.Adam(m.parameters(), lr=1e-2)),
    "LBFGS": lambda m: Baseline(torch.optim.LBFGS(m.parameters(), lr=0.1, max_iter=3)),
}
INSIDE = ["TR", "NTR", "light", "APTSW", "Adam", "LBFGS"]


def _autocast() -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16)


def _train(name: str, *, inside: bool) -> tuple[list[float], list[Any], nn.Module]:
    model = plain(torch.float32)
    optimizer, data = METHODS[name](model), batch(dtype=torch.float32)
    losses, trials = [], []

    def within() -> torch.Tensor:
        with _autocast():
            return closure(model, data)()

    for _ in range(12):
        if inside:
            losses.append(optimizer.step(within))
        else:
            with _autocast():
                losses.append(optimizer.step(closure(model, data)))
        trials += optimizer.last_step.trials
    return losses, trials, model


@pytest.mark.parametrize("name", METHODS)
def test_around_the_step(name: str) -> None:
    losses, trials, model = _train(name, inside=False)
    assert losses[-1] < losses[0] - 0.02
    assert len(set(losses)) > len(losses) // 2
    assert any(trial.trial_loss != trial.loss for trial in trials) or not trials
    assert all(p.dtype == torch.float32 for p in model.parameters())


@pytest.mark.parametrize("name", INSIDE)
def test_inside_the_closure_it_is_the_same(name: str) -> None:
    """Where all passes are the closure's, it does not matter who opens it."""
    around, _, model = _train(name, inside=False)
    inside, _, twin = _train(name, inside=True)
    assert around == inside
    pairs = zip(model.parameters(), twin.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("name", METHODS)
def test_one_region_around_all_steps(name: str) -> None:
    """Weights that are changed between the steps count, too: as in one region for each step."""
    expected, _, _ = _train(name, inside=False)
    model = plain(torch.float32)
    optimizer, data = METHODS[name](model), batch(dtype=torch.float32)
    with _autocast():
        losses = [optimizer.step(closure(model, data)) for _ in range(12)]
        evaluated = closure(model, data)()
    assert losses == expected
    with _autocast():
        assert evaluated == closure(model, data)()
