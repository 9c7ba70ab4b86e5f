"""The settings of the papers' baselines: those of the shipped sweeps, found by their methods."""

from pathlib import Path

import pytest

from napts.launch.search import grid_cells
from napts.launch.sweepfile import load_sweep
from napts.launch.tuning import TuningPlan
from napts.launch.tuning_spaces import EPOCHS, SPACES
from napts.papers.tuning_spaces import GRIDS, RANGES

SWEEPS = Path(__file__).parents[2] / "slurm" / "sweeps"


@pytest.mark.parametrize(("method", "count"), [("Adam", 13), ("SGD", 63), ("LBFGS", 45)])
def test_the_grids_are_those_of_the_shipped_sweeps(method: str, count: int) -> None:
    plan = TuningPlan("digits-cnn", method, (0, 1), epochs=1)
    assert len(plan.screening().planned) == len(grid_cells(GRIDS[method])) == count
    shipped = load_sweep(SWEEPS / f"tune-{method.lower()}.toml")
    for name, values in GRIDS[method].items():
        theirs = {getattr(run.optimizer, name) for run in shipped.runs()}
        assert sorted(theirs) == pytest.approx(sorted(values))
        low, high = RANGES[method][name]["low"], RANGES[method][name]["high"]
        assert (min(values), max(values)) == (low, high)


def test_the_registry_holds_them() -> None:
    assert {method: space.grid for method, space in SPACES.items()} == GRIDS
    assert {method: space.ranges for method, space in SPACES.items()} == RANGES
    assert EPOCHS["cifar10-resnet18"] == 25
