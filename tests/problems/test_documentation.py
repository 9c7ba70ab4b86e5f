"""The examples of docs/reference/problems.md, run as they stand there."""

import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

import napts
from napts.experiment import load_spec, plugins, run
from napts.experiment.plugins import loading
from napts.problems import EpochOrder, Problem, problem_class, problem_names, registry
from napts.records.read import load_run
from tests.helpers.pages import blocks, code, text_of

PAGE = "reference/problems.md"


@pytest.fixture(autouse=True)
def registered(monkeypatch) -> None:
    """Leave the registry as it was."""
    monkeypatch.setattr(registry, "_PROBLEMS", dict(registry._PROBLEMS))
    monkeypatch.setattr(loading, "_plugins", {})


@pytest.fixture
def names() -> dict[str, Any]:
    found: dict[str, Any] = {"__name__": "page"}
    for block in blocks(PAGE, "python"):
        block.run(found)
    return found


def test_every_problem_of_the_page_trains(names):
    kinds = [k for k in names.values() if isinstance(k, type) and issubclass(k, Problem)]
    assert len(kinds) == 8
    for kind in kinds:
        problem = kind()
        data = problem.load()
        model = problem.build_model(0)
        before = problem.evaluate(model, data.validation)
        assert problem.primary[0] in before
        inputs = problem.example_inputs(data.train.first(2))
        optimizer = napts.NAPTS(napts.partition_layers(model, 2, example_inputs=inputs))
        for epoch in range(1, 6):
            for batch in problem.training_batches(
                data.train, EpochOrder(problem.batch_size, 0, epoch)
            ):
                optimizer.step(napts.Batch(partial(problem.loss, model), batch))
        assert problem.evaluate(model, data.validation).loss < before.loss, kind


def test_the_first_example_is_short_and_runs_from_its_spec(tmp_path: Path):
    example = code(PAGE, "python")[0]
    assert len(example.splitlines()) <= 30
    (tmp_path / "documented_wine.py").write_text(example)
    assert len(plugins.load([str(tmp_path / "documented_wine.py")])) == 1
    path = tmp_path / "wine.toml"
    path.write_text(code(PAGE, "toml")[0])
    specs = load_spec(path).runs()
    assert len(specs) == 4
    outcome = run(specs[0], tmp_path / "records")
    assert outcome.state == "done"
    assert outcome.final is not None
    assert outcome.final["val_r2"] > -1
    assert "val_r2" in load_run(outcome.path).epochs[-1]


def test_all_attributes_and_methods_that_a_user_may_write_are_on_the_page():
    text = text_of(PAGE)
    harness = {"load", "build_model", "training_batches", "evaluation"}
    internal = {"check_pipeline", "check_not_empty", "evaluate", "title", "name", "options"}
    public = {name for name in vars(Problem) if not name.startswith("_")} - internal
    for name in public:
        assert re.search(rf"`{name}[`(]", text), name
    assert harness <= public


def test_all_problems_that_ship_are_on_the_page():
    table = text_of(PAGE).split("## The problems that ship")[1]
    ours = [n for n in problem_names() if problem_class(n).__module__.startswith("napts.")]
    assert len(ours) >= 14
    for name in ours:  # tests of one's own problems may have run in this process
        family, _, member = name.partition("-")
        assert f"`{name}`" in table or (f"`-{member}`" in table and f"`{family}-" in table), name


def test_parameter_counts_of_the_page():
    def count(name: str) -> int:
        return sum(p.numel() for p in problem_class(name)().network().parameters())

    assert count("digits-cnn") == 9_258
    assert count("cancer-logistic") == 31
    assert 45_000 < count("text-gpt") < 60_000
    assert torch.is_grad_enabled()
