"""APTS in data: against the flat-vector reference, its first-order consistency, its counts."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import napts
from napts.optim.quadratic_model import SecondOrder
from tests.helpers.networks import batch, noisy, plain, same, snapshot
from tests.helpers.problems import SIZES, batches, flat, network, start_from
from tests.reference.in_data import DataOptions, InData
from tests.reference.mlp import MLPProblem

INF = {"norm": "inf", "radius": 1e-2, "radius_min": 1e-4, "radius_max": 1e-1}
SETTINGS: list[dict[str, Any]] = [
    {},
    {"shards": 1},
    {"shards": 5, "local_steps": 3},
    {"consistent": False},
    INF,
    {**INF, "shards": 4, "direction": "sign"},
    {"order": 2},
    {"order": 2, "shards": 3, **INF},
    {"radius": 2.0, "radius_min": 0.5, "radius_max": 8.0, "max_tries": 3},
]


def _split(model: nn.Module, data: tuple[torch.Tensor, torch.Tensor]) -> napts.SplitBatch:
    return napts.SplitBatch(lambda x, y: nn.functional.cross_entropy(model(x), y), *data)


@pytest.mark.parametrize("options", SETTINGS, ids=str)
def test_follows_the_reference(options: dict[str, Any]) -> None:
    problem, model = MLPProblem(SIZES), network()
    start = problem.initial(seed=3)
    start_from(model, start)
    optimizer = napts.APTSD(model.parameters(), **options)
    reference = InData(problem, start, DataOptions(**options))
    data = batches((60, 60, 60))
    for step in range(25):
        x, y = data[step % len(data)]
        loss = optimizer.step(_split(model, (torch.from_numpy(x), torch.from_numpy(y))))
        assert loss == pytest.approx(reference.step((x, y)), rel=1e-6), step
        record = optimizer.last_step
        assert record is not None
        assert record.radius_after == pytest.approx(reference.radius, rel=1e-9), step
        assert record.forwards == pytest.approx(reference.samples["loss"] / len(x)), step
        assert record.backwards == pytest.approx(reference.samples["gradient"] / len(x)), step
        assert record.trials[0].predicted_reduction == pytest.approx(reference.promised, rel=1e-6)
        assert record.trials[0].ratio_current == pytest.approx(reference.ratio, rel=1e-5)
        np.testing.assert_allclose(flat(model), reference.theta, rtol=0, atol=1e-7)
        reference.theta = flat(model).copy()
        family = optimizer._method.local_model
        if isinstance(family, SecondOrder):
            state = family.memory.state_dict()
            pairs = [(torch.cat(s).numpy(), torch.cat(y).numpy()) for s, y in state["pairs"]]
            reference.model.pairs.pairs = pairs
            last = state["last"]
            reference.model.pairs.last = torch.cat(last[0]).numpy(), torch.cat(last[1]).numpy()


def test_shards_agree_with_the_whole_loss_to_first_order() -> None:
    """With one local step and tiny radii every shard takes the global step: all ratios are 1."""
    for norm, shards in itertools.product(("l2", "inf"), (1, 2, 5)):
        model = plain()
        optimizer = napts.APTSD(
            model.parameters(), shards=shards, local_steps=1, norm=norm, radius=1e-5,
            radius_min=1e-6,
        )  # fmt: skip
        optimizer.step(_split(model, batch()))
        assert optimizer.last_step is not None
        proposal = optimizer.last_step.trials[0]
        assert proposal.ratio_current == pytest.approx(1.0, abs=1e-3)
        assert proposal.step_norm == pytest.approx(1e-5, rel=1e-6)


def test_one_shard_is_the_whole_batch() -> None:
    """The consistency term vanishes, with it or without it the method is the same."""
    one, two = plain(), plain()
    first = napts.APTSD(one.parameters(), shards=1)
    second = napts.APTSD(two.parameters(), shards=1, consistent=False)
    for seed in range(5):
        first.step(_split(one, batch(seed)))
        second.step(_split(two, batch(seed)))
    assert all(
        torch.allclose(a, b, atol=1e-12)
        for a, b in zip(one.parameters(), two.parameters(), strict=True)
    )


@pytest.mark.parametrize("norm", ["l2", "inf"])
def test_the_proposal_stays_in_the_region(norm: Any) -> None:
    model = plain()
    optimizer = napts.APTSD(model.parameters(), shards=3, norm=norm, radius=0.05, radius_max=0.5)
    for seed in range(15):
        optimizer.step(_split(model, batch(seed)))
        assert optimizer.last_step is not None
        proposal = optimizer.last_step.trials[0]
        assert proposal.step_norm <= proposal.radius * (1 + 1e-9)


def test_batchnorm_moves_on_by_one_batch() -> None:
    model = noisy()
    optimizer = napts.APTSD(model.parameters(), shards=2)
    optimizer.step(_split(model, batch()))
    assert int(model[1].num_batches_tracked) == 1  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("order", [1, 2])
def test_going_on_from_a_saved_state(order: Any) -> None:
    model, other = plain(), plain()
    optimizer = napts.APTSD(model.parameters(), order=order)
    for seed in range(5):
        optimizer.step(_split(model, batch(seed)))
    other.load_state_dict(model.state_dict())
    resumed = napts.APTSD(other.parameters(), order=order)
    resumed.load_state_dict(optimizer.state_dict())
    for seed in range(3):
        optimizer.step(_split(model, batch(seed)))
        resumed.step(_split(other, batch(seed)))
        assert resumed.last_step == optimizer.last_step
    assert same(snapshot(model), snapshot(other))


def test_bad_arguments() -> None:
    model = plain()
    with pytest.raises(ValueError, match="Invalid shards: 0, must be integer in"):
        napts.APTSD(model.parameters(), shards=0)
    optimizer = napts.APTSD(model.parameters(), shards=4)
    inputs, targets = batch()
    before = snapshot(model)
    with pytest.raises(ValueError, match="needs to know the parts of a batch"):
        optimizer.step(lambda: nn.functional.cross_entropy(model(inputs), targets))
    with pytest.raises(ValueError, match="shards: found 4, allowed: 1 to 3"):
        optimizer.step(_split(model, (inputs[:3], targets[:3])))
    assert same(before, snapshot(model))
