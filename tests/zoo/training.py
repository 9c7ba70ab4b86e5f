"""How a method trains a row, and whether it did."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import napts
from tests.zoo.row import Row

Closure = Callable[[], Tensor]

# What every method gets, so that an iteration is cheap, or a few show something; all else are the
# defaults.
_METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "TR": ("TR", {}),
    "NTR": ("NTR", {}),
    "STTR": ("STTR", {"radius": 0.02}),
    "APTSW": ("APTSW", {"local_steps": 1}),
    "APTS": ("APTS", {"local_steps": 3}),
    "APTSA": ("APTSA", {"local_steps": 3}),
    "NAPTS": ("NAPTS", {"local_steps": 3}),
    "NAPTS light": ("NAPTS", napts.preset("NAPTS", "light")),
}
METHODS = tuple(_METHODS)
BASELINE = "Baseline (Adam)"
METHODS_OF_LOOPS = (*METHODS, BASELINE)
LOSS_SEEDS = (11, 12)
STEPS, EVERY, GAIN = 24, 4, 0.02


def optimizer(
    method: str, model: nn.Module, cut: Callable[[nn.Module], Any], **options: Any
) -> Any:
    """Make a method for a model, whose stages ``cut`` returns if there is need of them."""
    if method == BASELINE:
        options = {"lr": 0.02, **options}
        return napts.Baseline(torch.optim.Adam(model.parameters(), **options))
    name, own = _METHODS[method]
    options = {**own, **options}
    if name in ("TR", "NTR", "STTR"):
        return getattr(napts, name)(model.parameters(), **options)
    if name == "APTSW":
        return napts.APTSW(napts.deal_parameters(model, 4), **options)
    return getattr(napts, name)(cut(model), **options)


def for_row(method: str, row: Row, model: nn.Module) -> Any:
    """Make a method for a row's model."""
    return optimizer(method, model, row.partition, **row.options)


def mean_loss(closure: Closure) -> float:
    """The loss, averaged over a few masks and draws, always the same ones."""
    losses = []
    for seed in LOSS_SEEDS:
        torch.manual_seed(seed)
        losses.append(float(closure().detach()))
    return sum(losses) / len(losses)


def train(chosen: Any, closure: Closure, *, steps: int = STEPS, gain: float = GAIN) -> float:
    """Take steps until the loss has fallen by a share of itself, or there have been enough.

    Returns:
        By which share it has fallen.
    """
    before, fallen = mean_loss(closure), 0.0
    torch.manual_seed(2)
    for _ in range(0, steps, EVERY):
        for _ in range(EVERY):
            chosen.step(closure)
        state = torch.get_rng_state()
        fallen = (before - mean_loss(closure)) / abs(before)
        torch.set_rng_state(state)
        if fallen > gain:
            break
    return fallen


def finite(model: nn.Module) -> bool:
    """Whether all parameters are."""
    return all(bool(p.isfinite().all()) for p in model.parameters())
