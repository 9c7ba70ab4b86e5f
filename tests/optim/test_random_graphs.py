"""Random networks, closures and cuts: local gradients agree, or there is a refusal."""

import random
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import napts
from tests.helpers.overheard import gaps
from tests.helpers.random_graphs import Case, Problem, draw_case

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "closures.md"
TOLERANCE = 1e-9
SAMPLE, TRAINED = 100, 0.8


def _plain(kinds: tuple[str, ...], cuts: int | tuple[int, ...]) -> Case:
    nowhere = (-1,) * len(kinds)
    return Case(kinds, nowhere, outputs="tensor", calls=1, terms=(), cuts=cuts, change="none")


# What can occur here of the table in docs/reference/closures.md, each with a case of it.
REFUSALS = {
    "divides into at most": _plain(("attention", "tied"), 3),
    "has no trainable parameter": _plain(("linear", "activation", "linear"), (1, 2)),
    "was not reached by the model's forward pass": _plain(("linear", "tied"), (1,)),
    "was not passed as at the captured call": _plain(("linear", "linear", "shared"), (1, 2)),
}


def outcome(case: Case) -> str:
    """Return "agrees", or how the case is refused; anything else is an error."""
    problem = Problem(case)
    try:
        stages = problem.partition()
        problem.listen()
        problem.change()
        torch.manual_seed(2)
        with deserved_warnings(case):
            found = gaps(stages, problem.loss)
    except (ValueError, RuntimeError) as error:
        known = [refusal for refusal in REFUSALS if refusal in str(error)]
        if not known:
            raise
        return known[0]
    assert max(found) < TOLERANCE, f"{case}: {found}"
    return "agrees"


@contextmanager
def deserved_warnings(case: Case) -> Iterator[None]:
    """No warning but of parameters outside of their block, and that only where it is true."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        yield
    for warning in found:
        told = re.search(r"parameters (.*) are used outside their block", str(warning.message))
        assert told, warning.message
        for name in told[1].split(", "):
            assert _is_outside(case, name), f"{case}: {name}"


def _is_outside(case: Case, name: str) -> bool:
    """Tell whether a parameter may be used outside of its block alone.

    Shared modules are listed before the others, whenever they are called. Of a branch that is not
    taken a penalty on all weights is the only use.
    """
    if name.startswith("shared.") or (
        not isinstance(case.cuts, int)
        and any(case.kinds[cut].startswith("shared") for cut in case.cuts)
    ):
        return not isinstance(case.cuts, int)
    block = re.match(r"blocks\.(\d+)\.", name)
    return "weights" in case.terms and block is not None and case.kinds[int(block[1])] == "opaque"


def trains(case: Case) -> bool:
    """Return whether NAPTS reduces the loss of a case."""
    problem = Problem(case)
    stages = problem.partition()
    problem.listen()
    problem.change()
    optimizer = napts.NAPTS(stages, local_steps=2)
    before = _mean_loss(problem)
    with deserved_warnings(case):
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
    assert refusal in _words()
    assert outcome(REFUSALS[refusal]) == refusal


def test_documented_words_are_those_of_the_code() -> None:
    sources = (PAGE.parents[2] / "napts").rglob("*.py")
    # Without line breaks inside of literals, and with what is put into them left out.
    code = " ".join(re.sub(r'"\s*\n\s*f?"', "", path.read_text()) for path in sources)
    for words in _words():
        assert words in code, words


def _words() -> list[str]:
    """Return what the table "What is refused" says that errors say."""
    lines = PAGE.read_text().split("## What is refused")[1].strip().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    at = rows[0].index("it says")
    words = [re.findall("`([^`]+)`", row[at]) for row in rows[2:]]
    assert all(words)
    return [word for cell in words for word in cell]
