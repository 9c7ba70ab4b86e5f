"""A closure that fails in the middle of a step, which must leave no trace."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from tests.helpers.networks import batch, closure, plain, same, snapshot


def leaves_no_trace(make: Callable[[nn.Module], Any], call: int) -> None:
    """Let one of two optimizers fail once, and assert that both go on alike.

    Args:
        make: Makes an optimizer whose radius tracks evidence.
        call: Which call of the closure fails, counted from 1, in the third step.
    """
    model, other = plain(), plain()
    pairs = [(make(m), m) for m in (model, other)]
    for one, m in pairs:
        for seed in range(2):
            one.step(closure(m, batch(seed)))
    calls, before = 0, snapshot(model)

    def failing() -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == call:
            raise KeyError("no data")
        return closure(model, batch(2))()

    with pytest.raises(KeyError):
        pairs[0][0].step(failing)
    assert same(snapshot(model), before)
    for one, m in pairs:
        for seed in range(2, 6):
            one.step(closure(m, batch(seed)))
    assert same(snapshot(model), snapshot(other))
    first, second = (one for one, _ in pairs)
    assert (first.radius, first.real_share) == (second.radius, second.real_share)
