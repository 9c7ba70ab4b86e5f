"""Tuning studies as sweeps: all settings with one seed, then the best of them with the others."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from napts.analysis.tuning import Setting, experiment_name
from napts.experiment.specfile import SpecError, apply_overrides
from napts.launch.search import Cell, Random, cell_label, grid_cells
from napts.launch.sweepfile import Sweep, make_sweep
from napts.launch.tuning_spaces import SPACES

Search = Literal["grid", "random"]


@dataclass(frozen=True)
class TuningPlan:
    """What is tuned, and how.

    Attributes:
        workload: Name of the workload.
        method: One of `napts.launch.tuning_spaces.SPACES`.
        seeds: The first one screens all settings, the finalists get the others as well.
        epochs: Epochs of every run.
        search: All points of the method's grid, or quasi-random points of its ranges.
        samples: Number of quasi-random points.
        finalists: Settings that are tried with every seed.
        overrides: Assignments to the sweep file, for example ``execution.channels_last=true``.
    """

    workload: str
    method: str
    seeds: tuple[int, ...]
    epochs: int
    search: Search = "grid"
    samples: int = 20
    finalists: int = 5
    overrides: tuple[str, ...] = field(default=())

    @property
    def experiment(self) -> str:
        """Name of the folder of the runs."""
        return experiment_name(self.workload, self.method)

    def cells(self) -> list[Cell]:
        """Return the settings that are screened.

        Raises:
            SpecError: There is no range for the method.
        """
        if self.method not in SPACES:
            raise SpecError([f"tune: found method {self.method!r}, allowed: {', '.join(SPACES)}"])
        space = SPACES[self.method]
        if self.search == "grid":
            return grid_cells(space.grid)
        return Random.model_validate({"samples": self.samples, **space.ranges}).cells()

    def screening(self) -> Sweep:
        """Return the runs of all settings with the first seed."""
        return self._sweep(self.cells(), self.seeds[:1])

    def final(self, screened: Sequence[Setting]) -> Sweep:
        """Return the runs of the finalists with every seed.

        Args:
            screened: The settings, best first.
        """
        names = list(self.cells()[0])
        best = [setting.options for setting in screened[: self.finalists]]
        return self._sweep([{n: options[n] for n in names} for options in best], self.seeds)

    def _sweep(self, cells: Sequence[Cell], seeds: Sequence[int]) -> Sweep:
        methods = [{"method": self.method, "label": _label(self.method, c), **c} for c in cells]
        data: dict[str, Any] = {
            "experiment": self.experiment,
            "kind": "tuning",
            "seeds": list(seeds),
            "workload": {"name": self.workload},
            "budget": {"epochs": self.epochs},
            "methods": methods,
        }
        return make_sweep(apply_overrides(data, self.overrides), Path(self.experiment))


def _label(method: str, cell: Cell) -> str:
    return f"{method} {cell_label(cell)}"
