"""One, two and four ranks do the same, and the same as one process that calls the whole model."""

import math

import pytest
import torch
from torch.nn import functional

import napts
from tests.parallel.cases import (
    CASES,
    SIZES,
    STAGES,
    Case,
    Results,
    data,
    make_optimizer,
    network_of,
    plain,
    train,
)

DECISIONS = ("accepted", "nonmonotone", "phase", "coefficient", "forwards", "backwards")
REJECTIONS = ("rejections_proposal", "rejections_correction", "rejections_global")
NUMBERS = ("loss", "trial_loss", "predicted_reduction", "step_norm", "ratio_current")
WHOLE = {n: c for n, c in CASES.items() if c.micro_batches == 1 and "dropout" not in n}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("size", [size for size in SIZES if size > 1])
def test_ranks_agree_to_the_last_bit(results: Results, name: str, size: int) -> None:
    alone, together = results[1][0][name], results[size][0][name]
    assert len(alone["steps"]) == CASES[name].steps
    assert together["steps"] == alone["steps"]
    state = {key: value for rank in results[size] for key, value in rank[name]["state"].items()}
    assert state == alone["state"]
    assert results[size][-1][name]["outputs"] == alone["outputs"]


@pytest.mark.parametrize("size", [size for size in SIZES if size > 1])
def test_every_rank_tells_the_same(results: Results, size: int) -> None:
    for name in CASES:
        assert all(rank[name]["steps"] == results[size][0][name]["steps"] for rank in results[size])


CUT = [
    name
    for name, case in CASES.items()
    if case.micro_batches > 1
    and case.network is plain
    and case.dtype == torch.float64
    # A part of the batch is then a part of every micro-batch, that is other samples.
    and "local_fraction" not in case.options
]

SHORT = 15
"""Steps that are compared where the arithmetic differs: local Adam steps enlarge rounding."""


@pytest.mark.parametrize("name", WHOLE)
def test_the_pipeline_does_what_the_whole_model_does(results: Results, name: str) -> None:
    case = WHOLE[name]
    model = network_of(case)
    stages = napts.partition_layers(model, STAGES)
    optimizer = make_optimizer(case, stages, model.parameters())
    whole = train(case, optimizer, lambda x, y: lambda: functional.cross_entropy(model(x), y))
    ours_and_theirs = list(zip(results[1][0][name]["steps"], whole, strict=True))
    for step, (ours, theirs) in enumerate(ours_and_theirs[:SHORT]):
        for key in DECISIONS[:-2] + REJECTIONS:
            assert ours[key] == theirs[key], (step, key)
        # A radius that tracks is computed from losses; the others take few values.
        tracks = case.method in ("TTR", "STTR") or "radius_rule" in case.options
        least = 1e-11 if tracks else 0.0
        radii = ours["radius_after"], theirs["radius_after"]
        assert radii[0] == pytest.approx(radii[1], rel=least, abs=0.0), step
        for key in NUMBERS:
            assert _close(ours[key], theirs[key]), (step, key, ours[key], theirs[key])


@pytest.mark.parametrize("name", CUT)
def test_micro_batches_leave_the_problem_as_it_is(results: Results, name: str) -> None:
    """Without layers that look at the whole batch or draw numbers, only rounding changes."""
    case = CASES[name]
    model = network_of(case)
    optimizer = make_optimizer(case, napts.partition_layers(model, STAGES), model.parameters())
    whole = train(case, optimizer, lambda x, y: lambda: functional.cross_entropy(model(x), y))
    ours = results[1][0][name]["steps"]
    pairs = list(zip(ours, whole, strict=True))[:SHORT]
    assert all(_close(a["loss"], b["loss"]) for a, b in pairs)


def test_four_ranks_reach_a_stationary_point_together(results: Results) -> None:
    """Nothing is promised there any more, and no rank leaves the others waiting."""
    steps = results[4][0]["NAPTS still"]["steps"]
    assert len(steps) == 500
    assert abs(steps[-1]["predicted_reduction"]) <= 1e-12
    assert not steps[-1]["accepted"]


def test_the_cases_meet_rejections_of_every_kind(results: Results) -> None:
    steps = [step for name in CASES for step in results[1][0][name]["steps"]]
    for key in REJECTIONS:
        assert any(step[key] for step in steps), key
    assert any(step["nonmonotone"] for step in steps)
    assert any(step["coefficient"] for step in steps)


@pytest.mark.parametrize("size", [size for size in SIZES if size > 1])
def test_one_collective_per_acceptance_test(results: Results, size: int) -> None:
    """And none in local steps: the number does not depend on how many of them there are.

    A gradient whose length is needed before any test is combined by itself: that of TR and NTR in
    every iteration, and that of an accepted trial which was not differentiated at once. Joint
    shares of the radius need the length of all subdomains' directions.
    """
    for name, case in CASES.items():
        result = results[size][0][name]
        steps = result["steps"]
        tests = sum(evaluated for step in steps for _, _, evaluated in step["trials"])
        # Where the radius tracks: one for the promise of a probed step, one for the look back.
        probed = [step["accepted"] and _probed(case, i) for i, step in enumerate(steps)]
        promises, looks = sum(probed), sum(probed[:-1])
        if case.method in ("Adam", "SGD"):
            assert result["collectives"] == case.steps, name
        elif case.options.get("history_scope") == "reeval":
            assert result["collectives"] >= tests
        elif case.method in ("TTR", "STTR"):
            # One per step, and one more where a step is looked back at.
            looks = sum(bool(step["trials"]) and step["accepted"] for step in steps[:-1])
            assert result["collectives"] == case.steps + looks, name
        elif case.method in ("TR", "NTR"):
            assert result["collectives"] == tests + case.steps + promises + looks, name
        else:
            passes = sum(step["forwards"] for step in steps) - looks
            again = passes - len(steps) - tests  # second forwards of accepted trials
            lengths = case.steps if case.options.get("shares") == "joint" else 0
            assert result["collectives"] == tests + again + lengths + promises + looks, name


def test_what_is_sent(results: Results) -> None:
    """Activations forward and gradients back, between neighbours: counted against the formula."""
    for name in ("TR plain", "Adam"):
        inputs, _ = data(CASES[name].dtype)
        width = inputs.element_size()
        case: Case = CASES[name]
        batch_sizes = [16, 16, 16, 6]
        passes = results[4][0][name]["steps"]
        sent = sum(
            batch_sizes[k % 4] * 8 * width * step["forwards"] for k, step in enumerate(passes)
        )
        last = results[4][-1][name]["bytes_sent"]
        back = sum(batch_sizes[k % 4] * 8 * width for k, _ in enumerate(passes))
        evaluation = len(inputs) * 8 * width
        assert results[4][0][name]["bytes_sent"] == sent + evaluation, case
        assert last == back


def _probed(case: Case, step: int) -> bool:
    """Whether a step is probed, by a method with an acceptance test of its own."""
    return "radius_rule" in case.options and (step < 8 or step % 2 == 1)


def _close(ours: float | None, theirs: float | None) -> bool:
    if ours is None or theirs is None:
        return ours is theirs
    return math.isclose(ours, theirs, rel_tol=1e-7, abs_tol=1e-10)
