"""Options that make NAPTS cheaper than the paper makes it: identities, costs, what they refuse."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import napts
from napts.optim.subdomains import Part
from tests.helpers.networks import batch, closure, make, plain, same, snapshot

LIGHT = napts.preset("NAPTS", "light")


def flat(model: nn.Module) -> Tensor:
    return torch.nn.utils.parameters_to_vector(model.parameters()).detach().clone()


def test_the_light_member_goes_where_adam_goes() -> None:
    """Its direction is Adam's, whatever lengths the trust region gave the steps before."""
    model, twin = plain(), plain()
    optimizer = make("NAPTS", model, **LIGHT)
    adam = torch.optim.Adam(twin.parameters(), lr=1.0)
    for step in range(20):
        twin.load_state_dict(model.state_dict())
        before = flat(model)
        adam.zero_grad()
        closure(twin, batch(step))().backward()
        adam.step()
        optimizer.step(closure(model, batch(step)))
        if not optimizer.last_step.accepted:
            continue
        moved, wanted = flat(model) - before, flat(twin) - before
        assert moved.norm() == pytest.approx(optimizer.last_step.trials[-1].radius, rel=1e-9)
        torch.testing.assert_close(moved / moved.norm(), wanted / wanted.norm())


@pytest.mark.parametrize(
    ("options", "forwards", "backwards", "local_passes"),
    [
        (LIGHT, 2, 1, 0),
        ({**LIGHT, "local_steps": 3, "local_fraction": 0.25}, 2, 1, 2),
        ({"global_step": "on_failure"}, 2, 1, 4),
        ({"moments": "kept"}, 3, 2, 4),
    ],
)
def test_what_an_accepted_batch_costs(
    options: dict[str, Any], forwards: int, backwards: int, local_passes: int
) -> None:
    model = plain()
    optimizer = make("NAPTS", model, radius=1e-3, **options)
    optimizer.step(closure(model, batch()))
    record = optimizer.last_step
    assert record.rejections == 0
    assert (record.forwards, record.backwards) == (forwards, backwards)
    assert record.local_passes == local_passes


def test_a_failed_phase_without_a_global_step_moves_nothing() -> None:
    model = plain()
    optimizer = make("NAPTS", model, radius=2.0, max_tries=3, **LIGHT)
    before, calls = snapshot(model), 0

    def worse() -> Tensor:
        nonlocal calls
        calls += 1
        return closure(model, batch())() + (0.0 if calls == 1 else 100.0)

    optimizer.step(worse)
    record = optimizer.last_step
    assert same(before, snapshot(model))
    assert (record.rejections_proposal, record.rejections_correction) == (1, 2)
    assert [trial.radius for trial in record.trials] == [2.0, 1.0, 0.5]
    assert record.radius_after == 0.25


def test_after_a_failed_phase_the_global_step_starts_where_it_was() -> None:
    model = plain()
    optimizer = make("NAPTS", model, global_step="on_failure", correction=(), window=0)
    calls = 0

    def worse_once() -> Tensor:
        nonlocal calls
        calls += 1
        return closure(model, batch())() + (100.0 if calls == 2 else 0.0)

    loss = optimizer.step(worse_once)
    first, second = optimizer.last_step.trials
    assert (first.phase, first.accepted) == ("proposal", False)
    assert (second.phase, second.accepted, second.loss) == ("global", True, loss)
    optimizer.step(worse_once)
    assert [trial.phase for trial in optimizer.last_step.trials] == ["proposal"]


@pytest.mark.parametrize("ruin", ["nan", "interrupt"])
def test_moments_remember_only_iterations_that_were_judged(ruin: str) -> None:
    model = plain()
    optimizer = make("NAPTS", model, **LIGHT)
    optimizer.step(closure(model, batch()))
    before = optimizer.state_dict()["state"][0]["moments"]

    def interrupted() -> Tensor:
        if torch.is_grad_enabled():
            return closure(model, batch())()
        raise KeyboardInterrupt

    if ruin == "nan":
        optimizer.step(lambda: closure(model, batch())() * math.nan)
    else:
        with pytest.raises(KeyboardInterrupt):
            optimizer.step(interrupted)
    after = optimizer.state_dict()["state"][0]["moments"]
    assert after["count"] == before["count"] == 1
    for name in ("first", "second"):
        assert all(torch.equal(a, b) for a, b in zip(after[name], before[name], strict=True))


def test_moments_start_again_when_other_parameters_are_trained() -> None:
    model = plain()
    optimizer = make("NAPTS", model, **LIGHT)
    optimizer.step(closure(model, batch()))
    for parameter in list(model.parameters())[:1]:
        parameter.requires_grad_(False)
    optimizer.step(closure(model, batch()))
    assert optimizer.state_dict()["state"][0]["moments"]["count"] == 1


@pytest.mark.parametrize(("fraction", "size"), [(0.25, 40), (0.3, 7), (1.0, 5), (0.001, 3)])
def test_parts_go_through_the_batch(fraction: float, size: int) -> None:
    count = max(1, round(fraction * size))
    turns = [_listed(fraction, turn, size) for turn in range(size // count + 1)]
    assert all(len(turn) == count for turn in turns)
    assert turns[-1] == turns[0]
    covered = [i for turn in turns[:-1] for i in turn]
    assert covered == list(range(len(covered)))


@pytest.mark.parametrize(("fraction", "size"), [(0.6, 10), (0.75, 40), (0.9, 7), (0.51, 101)])
def test_large_parts_go_around_the_batch(fraction: float, size: int) -> None:
    """More than half of the samples: the next part goes on where the last one ended."""
    count = round(fraction * size)
    turns = [_listed(fraction, turn, size) for turn in range(size)]
    assert all(len(set(turn)) == count for turn in turns)
    assert [i for turn in turns for i in turn] == [i % size for i in range(count * size)]


def _listed(fraction: float, turn: int, size: int) -> list[int]:
    return [i for part in Part(fraction, turn).samples(size) for i in range(size)[part]]


def test_all_parts_together_give_the_gradient_of_the_batch() -> None:
    model = plain()
    stages = napts.partition_layers(model, 4)
    inputs, targets = batch(samples=40)
    with stages.capture():
        loss = nn.functional.cross_entropy(model(inputs), targets)
    boundaries = stages.boundaries()
    stages.set_downstream(torch.autograd.grad(loss, boundaries))
    for stage in range(4):
        whole = stages.local_gradient(stage)
        parts = [stages.local_gradient(stage, Part(0.25, turn)) for turn in range(4)]
        for index, tensor in enumerate(whole):
            mean = torch.stack([part[index] for part in parts]).mean(0)
            torch.testing.assert_close(mean, tensor)


def test_a_part_needs_samples_first() -> None:
    with pytest.raises(RuntimeError, match="samples as their first dimension"):
        Part(0.5, 0).cut(torch.zeros(4, 3), torch.zeros(3, 4))


def test_a_model_may_be_converted_between_steps() -> None:
    """What is kept between steps follows the parameters' type."""
    model, twin = plain(torch.float32), plain(torch.float32)
    optimizer, fresh = make("APTSA", model), make("APTSA", twin)
    optimizer.step(closure(model, batch(dtype=torch.float32)))
    model.double()
    twin.load_state_dict(model.state_dict())
    twin.double()
    fresh.load_state_dict(optimizer.state_dict())
    for each, network in ((optimizer, model), (fresh, twin)):
        each.step(closure(network, batch()))
    assert same(snapshot(model), snapshot(twin))
