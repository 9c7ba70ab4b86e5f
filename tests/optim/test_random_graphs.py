"""Random networks, closures and cuts: local gradients agree, or there is a refusal."""

import random
import re
from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import napts
from tests.helpers.overheard import gaps
from tests.helpers.random_graphs import Case, Problem, draw_case

TOLERANCE = 1e-9
SAMPLE, TRAINED = 100, 0.8
REFUSALS = (
    r"divides into at most \d+ blocks",
    r"the block that begins with \S+ has no trainable parameter",
    r"\S+ is no module inside of the model",
    r"stage \d+ was not reached by the model's forward pass",
)


def outcome(case: Case) -> str:
    """Return "agrees", or how the case is refused; anything else is an error."""
    problem = Problem(case)
    try:
        stages = problem.partition()
        problem.listen()
        problem.change()
        torch.manual_seed(2)
        found = gaps(stages, problem.loss)
    except (ValueError, RuntimeError) as error:
        text = str(error)
        known = [refusal for refusal in REFUSALS if re.search(refusal, text)]
        if not known:
            raise
        return known[0]
    assert max(found) < TOLERANCE, f"{case}: {found}"
    return "agrees"


def trains(case: Case) -> bool:
    """Return whether NAPTS reduces the loss of a case."""
    problem = Problem(case)
    stages = problem.partition()
    problem.listen()
    problem.change()
    optimizer = napts.NAPTS(stages, local_steps=2)
    before = _mean_loss(problem)
    for _ in range(4):
        optimizer.step(problem.loss)
    return _mean_loss(problem) < before


def _mean_loss(problem: Problem) -> float:
    losses = []
    for seed in range(3):
        torch.manual_seed(seed)
        losses.append(float(problem.loss().detach()))
    return sum(losses) / 3


@given(st.data())
@settings(
    max_examples=150,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate],  # a case says all by itself, and shrinking takes minutes
)
def test_gradients_agree_or_there_is_a_refusal(data: Any) -> None:
    outcome(draw_case(lambda options: data.draw(st.sampled_from(options))))


def test_most_random_networks_train() -> None:
    chosen = random.Random(7).choice
    cases = [draw_case(chosen) for _ in range(SAMPLE)]
    outcomes = [outcome(case) for case in cases]
    agreed = [case for case, found in zip(cases, outcomes, strict=True) if found == "agrees"]
    trained = sum(map(trains, agreed))
    assert trained >= TRAINED * SAMPLE, Counter(outcomes)


@pytest.mark.parametrize("refusal", REFUSALS)
def test_every_refusal_is_documented(refusal: str) -> None:
    assert refusal
