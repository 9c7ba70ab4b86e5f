"""Optimizer states merged over ranks and divided among another number of them."""

from typing import Any

import pytest
import torch
from torch import Tensor

import napts
from napts.optim import Baseline
from napts.parallel.spread import shares
from napts.parallel.states import divide_state, merge_states

SIZES = (3, 5, 2, 4)
"""Numbers of elements of the parameters, one a stage."""


def optimizers(method: str, ranks: int) -> list[Any]:
    parts = [SIZES[start:stop] for start, stop in shares(len(SIZES), ranks)]
    return [_optimizer(method, [torch.nn.Parameter(torch.ones(n)) for n in p]) for p in parts]


def _optimizer(method: str, parameters: list[Any]) -> Any:
    groups = [{"params": [parameter]} for parameter in parameters]
    if method == "Adam":
        return Baseline(torch.optim.Adam(groups, lr=0.1))
    if method == "SGD":
        return Baseline(torch.optim.SGD(groups, lr=0.1, momentum=0.9))
    if method == "NTR tracking":
        return napts.NTR(groups, radius_rule="tracking", radius=0.1)
    return napts.NTR(groups, window=3, history_scope="reeval", radius=0.1)


def step(optimizer: Any) -> None:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    optimizer.step(
        lambda: torch.stack([(p * p * (1 + i)).sum() for i, p in enumerate(parameters)]).sum()
    )


def merged(method: str, ranks: int) -> dict[str, Any]:
    together = optimizers(method, ranks)
    for optimizer in together:
        step(optimizer)
        step(optimizer)
    return merge_states([optimizer.state_dict() for optimizer in together])


@pytest.mark.parametrize("method", ["Adam", "SGD", "NTR", "NTR tracking"])
@pytest.mark.parametrize("before", [1, 2, 4])
@pytest.mark.parametrize("after", [1, 2, 3, 4])
def test_dividing_and_merging_again_gives_the_same(method: str, before: int, after: int) -> None:
    state = merged(method, before)
    fresh = optimizers(method, after)
    sizes = list(SIZES)
    for optimizer, (start, stop) in zip(fresh, shares(len(sizes), after), strict=True):
        ahead = [torch.empty(n, device="meta") for n in sizes[:start]]
        own = divide_state(state, optimizer.state_dict(), ahead, sizes[start:stop])
        optimizer.load_state_dict(own)
    again = merge_states([optimizer.state_dict() for optimizer in fresh])
    assert _plain(again) == _plain(state)


def test_every_parameter_keeps_its_own_moments() -> None:
    state = merged("Adam", 4)
    assert sorted(state["state"]) == [0, 1, 2, 3]
    assert [state["state"][i]["exp_avg"].numel() for i in range(4)] == list(SIZES)


def test_kept_moments_are_vectors_of_all_ranks() -> None:
    def state(*sizes: int) -> dict[str, Any]:
        moments = {name: [torch.ones(n) for n in sizes] for name in ("first", "second")}
        common = {"radius": 1.0, "histories": [], "moments": {**moments, "count": 3}}
        return {"state": {0: common}, "param_groups": [{"params": [0]} for _ in sizes]}

    whole = merge_states([state(2, 3), state(4)])
    assert whole["state"][0]["moments"]["second"].shape == (9,)
    ahead = [torch.empty(2, device="meta")]
    part = divide_state(whole, state(3, 4), ahead, [3, 4])["state"][0]["moments"]
    assert [[t.numel() for t in part[name]] for name in ("first", "second")] == [[3, 4]] * 2
    assert part["count"] == 3


def test_a_remembered_iterate_is_whole() -> None:
    state = merged("NTR", 2)
    entries = state["state"][0]["histories"][0]["entries"]
    assert entries
    assert all(entry["theta"].numel() == sum(SIZES) for entry in entries)


def test_a_step_that_waits_for_its_next_batch_is_whole() -> None:
    pending = merged("NTR tracking", 2)["state"][0]["tracking"]["pending"]
    assert pending["direction"].numel() == sum(SIZES)


@pytest.mark.parametrize(("stages", "ranks"), [(4, 1), (4, 3), (7, 3), (5, 5)])
def test_shares_are_contiguous_and_even(stages: int, ranks: int) -> None:
    parts = shares(stages, ranks)
    assert [i for start, stop in parts for i in range(start, stop)] == list(range(stages))
    lengths = [stop - start for start, stop in parts]
    assert max(lengths) - min(lengths) <= 1


def _plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
