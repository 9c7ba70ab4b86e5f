"""A new method is one file and at most 30 lines besides its mathematics."""

import importlib
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from napts.experiment import RunSpec, SpecError, parse_spec, run
from napts.experiment.methods import registry as methods
from napts.records import load_run

FILE = Path(__file__).with_name("own_method.py")


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(methods, "_METHODS", dict(methods._METHODS))
    return importlib.reload(importlib.import_module("tests.experiment.own_method"))


def spec(**options: Any) -> RunSpec:
    data = {
        "experiment": "own",
        "workload": {"name": "synthetic-blobs"},
        "budget": {"epochs": 2},
        "optimizer": {"method": "average-tr", **options},
    }
    found = parse_spec(data, "here")
    assert isinstance(found, RunSpec)
    return found


def test_it_is_at_most_30_lines_besides_its_mathematics() -> None:
    text = FILE.read_text().partition('"""\n\n')[2]
    before, _, rest = text.partition("# The mathematics.\n")
    after = rest.partition("# End of the mathematics.\n")[2]
    lines = [line for line in (before + after).splitlines() if line.strip()]
    assert 15 < len(lines) <= 30


@pytest.mark.usefixtures("own")
def test_it_runs_from_a_spec(tmp_path: Path) -> None:
    outcome = run(spec(memory=0.5), tmp_path)
    assert outcome.state == "done"
    record = load_run(tmp_path / "own" / spec(memory=0.5).run_key)
    assert record.spec["optimizer"]["memory"] == 0.5
    losses = [row["val_loss"] for row in record.epochs]
    assert losses[-1] < losses[0]


@pytest.mark.usefixtures("own")
def test_its_option_is_checked_and_in_the_key() -> None:
    assert spec(memory=0.85).run_key == spec().run_key != spec(memory=0.5).run_key
    assert spec().run_key.startswith("average-tr-s0-")
    assert "radius_floor" not in spec().optimizer.science()  # as in all methods of the kind
    for options, message in (
        ({"memory": 1.5}, "optimizer.memory: found 1.5, allowed: number <= 1.0"),
        ({"memry": 0.5}, "optimizer.memry: unknown key, did you mean memory?"),
        ({"radius": 5}, "optimizer: Invalid radius: 5.0, must lie in [0.001, 2.0]"),
    ):
        with pytest.raises(SpecError) as caught:
            spec(**options)
        assert str(caught.value).startswith(f"here: {message}")


def test_it_is_checked_and_documented_in_python(own: ModuleType) -> None:
    model = nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"Invalid memory: 2, must be in \[0, 1\]"):
        own.AverageTR(model.parameters(), memory=2)
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'memry'\. Did you mean"):
        own.AverageTR(model.parameters(), memry=0.5)
    assert inspect.signature(own.AverageTR).parameters["memory"].default == 0.85
    assert "memory (in [0, 1]; default 0.85): Weight of the past." in own.AverageTR.__doc__
    assert "shrink (in (0, 1); default 0.5): Factor on failure." in own.AverageTR.__doc__


def test_its_memory_allows_what_a_monotone_method_refuses(own: ModuleType) -> None:
    torch.manual_seed(0)
    model = nn.Linear(2, 1)
    optimizer = own.AverageTR(model.parameters(), memory=1.0, max_tries=1)
    for target in (10.0, 0.0):
        inputs = torch.ones(1, 2)
        optimizer.step(lambda t=target, x=inputs: (model(x) - t).square().mean())
    (history,) = optimizer.state_dict()["state"][0]["histories"]
    assert history["weight"] == 2.0
