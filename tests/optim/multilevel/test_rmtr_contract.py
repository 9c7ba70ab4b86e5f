"""RMTR as an optimizer of torch: options, states, copies, errors."""

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import napts
from tests.helpers.residual import batch_of, network, rmtr

CASES: list[dict[str, Any]] = [
    {},
    {"cycle": "F", "nested_steps": 2},
    {"cycle": "W", "levels": 4},
    {"levels": 1, "coarse_steps": 2},
    {"model": "newton-cg", "levels": 2},
    {"model": "first-order"},
    {"share": 0.25, "seed": 3},
    {"share": 0.3, "seed": 3, "cycle": "F", "nested_steps": 3},
]


def steps(optimizer: Any, count: int) -> list[dict[str, Any]]:
    batch = batch_of(optimizer._hierarchy.model)
    found = []
    for _ in range(count):
        optimizer.step(batch)
        found.append(optimizer.last_step.as_dict())
    return found


def same(first: nn.Module, second: nn.Module) -> bool:
    return all(map(torch.equal, first.parameters(), second.parameters()))


@pytest.mark.parametrize("stop", [1, 4])
@pytest.mark.parametrize("options", CASES)
def test_going_on_from_a_saved_state(options: dict[str, Any], stop: int) -> None:
    """Bit for bit, counts included."""
    straight, parted = network(), network()
    whole = steps(rmtr(straight, **options), 10)
    first = rmtr(parted, **options)
    before = steps(first, stop)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    again = network(seed=7)
    again.load_state_dict(parted.state_dict())
    second = rmtr(again, **options)
    second.load_state_dict(torch.load(file, weights_only=True))
    assert before + steps(second, 10 - stop) == whole
    assert same(again, straight)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
@pytest.mark.parametrize("options", CASES)
def test_copies_go_on_by_themselves(options: dict[str, Any], copied: Callable[[Any], Any]) -> None:
    model = network()
    optimizer = rmtr(model, **options)
    steps(optimizer, 3)
    other = copied(optimizer)
    theirs = other._hierarchy.model
    assert theirs is not model
    found = steps(other, 4)
    assert steps(optimizer, 4) == found
    assert same(theirs, model)


@pytest.mark.parametrize("at", [2, 6, 11])
def test_a_step_that_raises_leaves_everything_as_it_was(at: int) -> None:
    """Operations counted first, levels in their places, memory and radius as before."""
    model, other, calls = network(), network(), []
    optimizer, undisturbed = rmtr(model, kappa=0.0), rmtr(other, kappa=0.0)
    batch = batch_of(model)

    def failing() -> torch.Tensor:
        calls.append(1)
        if len(calls) == at:
            raise RuntimeError("no")
        return batch()

    before = [p.clone() for p in model.parameters()]
    with pytest.raises(RuntimeError, match="no"):
        optimizer.step(failing)
    assert all(map(torch.equal, before, model.parameters()))
    assert sum(1 for _ in model.parameters()) == 2 + 2 * 8 + 2
    again, expected = steps(optimizer, 4), steps(undisturbed, 4)
    assert again == expected
    assert same(model, other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cycle": "X"}, "must be one of V, W, F"),
        ({"eta": 0.5}, r"Invalid eta: 0\.5, must be at most eta_1, 0\.25"),
        ({"coarse_steps": 0}, "Invalid coarse_steps"),
        ({"kappa": -1.0}, "Invalid kappa"),
        ({"share": 0.0}, r"Invalid share: 0\.0, must be in \(0, 1\]"),
        ({"model": "exact"}, "must be one of sr1, first-order, newton-cg"),
        ({"radius_max": 0.5}, r"Invalid radius: 1\.0, must lie in"),
        ({"levels": 7}, "allowed: 1 to 4"),
        ({"cycle": "F", "transfer": "nodal-weighted", "levels": 1}, None),
    ],
)
def test_bad_arguments(options: dict[str, Any], message: str | None) -> None:
    if message is None:
        rmtr(network(), **options)
        return
    with pytest.raises(ValueError, match=message):
        rmtr(network(), **options)


def test_an_f_cycle_needs_a_projection_that_undoes_the_prolongation() -> None:
    with pytest.raises(ValueError, match="Invalid cycle: F, must be V or W with transfer"):
        rmtr(network(9), 2, "nodal-weighted", cycle="F")


def test_what_it_is_built_on() -> None:
    model = network()
    with pytest.raises(TypeError, match="found generator, allowed: what"):
        napts.RMTR(model.parameters())  # pyright: ignore[reportArgumentType]
    deep = network(64)
    with pytest.raises(ValueError, match="levels: found 7, allowed: 1 to 6"):
        rmtr(deep, 7)
    optimizer = rmtr(model)
    optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(2))]})
    with pytest.raises(ValueError, match="RMTR trains only the network of its hierarchy"):
        optimizer.step(batch_of(model))


def test_the_radius_is_followed_where_it_is_edited() -> None:
    optimizer = rmtr(network())
    steps(optimizer, 1)
    optimizer.param_groups[0]["radius"] = 0.125
    (record,) = steps(optimizer, 1)
    assert record["radius_before"] == 0.125
