"""The specs of docs/reference/budgets.md are valid, and end as it says."""

import tomllib
from pathlib import Path

import pytest

from napts.experiment import RunSpec, parse_spec, run
from napts.experiment.spec.budget import LIMITS
from napts.experiment.spending import TargetNote
from napts.records import load_run
from tests.helpers.pages import code, text_of

PAGE = text_of("reference/budgets.md")
SPECS = [tomllib.loads(text) for text in code("reference/budgets.md", "toml")]


@pytest.mark.parametrize(("number", "ended_by"), [(0, "passes"), (1, "target")])
def test_the_examples_run(number: int, ended_by: str, tmp_path: Path) -> None:
    spec = parse_spec(SPECS[number])
    assert isinstance(spec, RunSpec)
    record = load_run(run(spec, tmp_path).path)
    assert (record.state, record.status["ended_by"]) == ("done", ended_by)


def test_nothing_is_left_out() -> None:
    assert len(SPECS) == 2
    for name in (*LIMITS, *TargetNote.__annotations__):
        assert f"`{name}" in PAGE or f"{name} = " in PAGE
