"""Cycles on parts of the samples: how a round is judged, what is counted, where it leads."""

import math
from dataclasses import replace

import pytest
import torch

from napts.optim.acceptance import RadiusRule
from napts.optim.multilevel.growing import GrowingSamples
from tests.helpers.residual import batch_of, network, rmtr, where

RULE = RadiusRule(1e-3, 8.0, 0.5, 2.0, 0.25, 0.75)


@pytest.mark.parametrize(
    ("loss", "share", "radius", "back"),
    [
        (0.1, 0.25, 4.0, False),  # falls by 0.9 of what the parts promise
        (0.5, 0.25, 2.0, False),
        (0.9, 0.5, 1.0, False),  # too little, but it falls
        (1.2, 0.5, 1.0, True),
        (math.nan, 0.5, 1.0, True),
    ],
)
def test_a_round_is_judged_by_the_whole_loss(
    loss: float, share: float, radius: float, back: bool
) -> None:
    samples, start, end = GrowingSamples(0.25), [torch.zeros(2)], [torch.ones(2)]
    assert samples.begins
    samples.begin(start, 1.0)
    assert [samples.note(decrease) for decrease in (1.0, 0.5, 1.5, 1.0)] == [False] * 3 + [True]
    theta, after = samples.judge(end, loss, 2.0, RULE)
    assert (samples.share, after) == (share, radius)
    assert theta is (start if back else end)
    state = samples.state_dict()
    assert state["loss"] == (1.0 if back else loss)
    assert state["done"] == 0


def test_a_round_that_promised_nothing_is_no_good_one() -> None:
    samples = GrowingSamples(1.0)
    assert samples.whole
    samples = GrowingSamples(0.9)
    samples.begin([torch.zeros(1)], 1.0)
    assert not samples.note(0.0)
    assert samples.note(0.0)
    samples.judge([torch.zeros(1)], 1.0, 1.0, replace(RULE, minimum=0.9))
    assert samples.whole


def test_parts_grow_and_the_loss_falls() -> None:
    model = network(8)
    optimizer, batch = rmtr(model, share=0.1, seed=1), batch_of(model)
    assert len(batch) == 40
    first, shares = batch().item(), []
    for _ in range(60):
        optimizer.step(batch)
        record = optimizer.last_step
        assert record is not None
        assert record.sample_fraction is not None
        shares.append(record.sample_fraction)
        if len(shares) == 1:
            # A part of four samples: at most a gradient where it starts and one after each step.
            assert record.work_units is not None
            assert 0.1 <= record.work_units <= 0.1 * (2 + 0.5 * 2 + 0.25 * 5)
            assert record.forwards > 1.0  # the whole loss, where the round begins
    assert shares == sorted(shares)
    assert shares[0] == 0.1
    assert shares[-1] >= 0.8
    assert batch().item() < 0.3 * first


def test_where_the_whole_loss_has_risen_the_round_is_undone() -> None:
    model = network(8)
    optimizer, batch = rmtr(model, share=0.05, seed=4), batch_of(model)
    undone, losses = 0, []
    for _ in range(12):
        begun, share = where(optimizer), optimizer._samples.share
        losses.append(batch().item())
        rounds = math.ceil(1.0 / share)
        for _ in range(rounds):
            optimizer.step(batch)
        ended = where(optimizer)
        undone += share < 1.0 and all(map(torch.equal, begun, ended))
    assert losses == sorted(losses, reverse=True)
    assert undone >= 1


def test_parts_need_samples() -> None:
    model = network(8)
    batch = batch_of(model)
    with pytest.raises(ValueError, match="needs to know the parts of a batch"):
        rmtr(model, share=0.5).step(lambda: batch())


def test_all_samples_are_the_deterministic_method() -> None:
    first, second = network(8), network(8)
    ours, plain = rmtr(first, share=1.0, seed=5), rmtr(second)
    for _ in range(5):
        assert ours.step(batch_of(first)) == plain.step(batch_of(second))
    assert all(map(torch.equal, where(ours), where(plain)))
