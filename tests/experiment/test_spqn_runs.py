"""ASPQN, MSPQN and their baselines on a differential equation, as runs."""

from pathlib import Path
from typing import Any

import pytest

from napts.experiment import Observer, RunSpec, parse_spec, run
from napts.optim import StepRecord
from napts.optim.record import QUASI_NEWTON_FIELDS
from napts.records import load_run

METHODS: dict[str, dict[str, Any]] = {
    "ASPQN": {"local_steps": 3, "local_memory": "keep", "overlap": 1},
    "MSPQN": {"local_steps": 3, "split": "authors", "subdomains": 2},
    "MomentumLBFGS": {},
    "AdamLBFGS": {"adam_steps": 3},
    "SSBroyden": {},
}
WORKLOAD = {"name": "burgers", "points": 40, "hidden_layers": 2, "width": 6, "grid": [5, 6]}


def spec_of(method: str) -> RunSpec:
    data = {
        "experiment": "tests",
        "workload": WORKLOAD,
        "optimizer": {"method": method, **METHODS[method]},
        "budget": {"epochs": 5},
        "execution": {"checkpoint_every_s": 0.0},
    }
    spec = parse_spec(data)
    assert isinstance(spec, RunSpec)
    return spec


class Stop(Observer):
    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_step(self, record: StepRecord, epoch: int, step: int) -> None:
        if epoch == self.epoch:
            raise KeyboardInterrupt


@pytest.mark.parametrize("method", METHODS)
def test_runs_record_their_counts_and_resume_bit_for_bit(method: str, tmp_path: Path) -> None:
    spec = spec_of(method)
    outcome = run(spec, tmp_path / "whole")
    assert outcome.state == "done", outcome.error
    whole = load_run(outcome.path)
    for epoch in (2, 4):
        with pytest.raises(KeyboardInterrupt):
            run(spec, tmp_path / "cut", observer=Stop(epoch))
    cut = load_run(run(spec, tmp_path / "cut").path)
    names = ("loss", "trial_loss", "forwards", "backwards", *QUASI_NEWTON_FIELDS)
    steps = [[row.get(name) for name in names] for row in whole.steps]
    assert [[row.get(name) for name in names] for row in cut.steps] == steps
    assert len(steps) == 5
    assert [r["val_relative_error"] for r in cut.epochs] == [
        r["val_relative_error"] for r in whole.epochs
    ]
    assert whole.epochs[-1]["val_loss"] < whole.epochs[0]["val_loss"]
    # The gradient at an iterate is known from the step before.
    assert sum(row["backwards"] for row in whole.steps[:1]) >= 2
    assert whole.epochs[-1]["gradients_published"] == steps[-1][names.index("gradients_published")]


def test_sets_of_layers_are_made_of_the_network_as_the_spec_says() -> None:
    spec = spec_of("ASPQN")
    assert spec.optimizer.model_dump()["subdomains"] == 2  # one for each hidden layer
    assert spec.optimizer.model_dump()["split"] == "balanced"
    assert spec.precision == "float64"
