"""Tuning studies as sweeps: all settings with one seed, then the best with the others too."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from napts.analysis.tuning import Setting, experiment_name
from napts.experiment.spec.reading import apply_overrides, spec_error
from napts.launch.search import Cell, Random, cell_label, grid_cells
from napts.launch.space_file import SpaceFile
from napts.launch.sweepfile import Sweep, make_sweep
from napts.launch.tuning_spaces import SPACES
from napts.text import shown

Search = Literal["grid", "random"]


@dataclass(frozen=True)
class TuningPlan:
    """What is tuned, and how.

    Attributes:
        workload: Name of the workload.
        method: Any method; without a space, one of `napts.launch.tuning_spaces.SPACES`.
        seeds: All settings run with the first one, the finalists also with the others.
        epochs: Epochs of every run.
        search: All points of the method's grid, or quasi-random points of its ranges.
        samples: Number of quasi-random points.
        finalists: How many of the best settings run with every seed.
        space: The settings to try, instead of those known for the method.
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
    space: SpaceFile | None = None

    @property
    def experiment(self) -> str:
        """Name of the runs' folder."""
        return experiment_name(self.workload, self.method)

    def cells(self) -> list[Cell]:
        """Return the settings to screen.

        Raises:
            SpecError: No settings are known for the method.
        """
        if self.space is not None:
            return self.space.cells()
        if self.method not in SPACES:
            allowed = f"--space FILE.toml, or one of {', '.join(SPACES)}"
            problem = f"found method {shown(self.method)} without --space, allowed: {allowed}"
            raise spec_error("tune", problem)
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
        fixed = {} if self.space is None else self.space.fixed
        methods = [
            {"method": self.method, "label": _label(self.method, cell, fixed), **cell}
            for cell in cells
        ]
        data: dict[str, Any] = {
            "experiment": self.experiment,
            "kind": "tuning",
            "seeds": list(seeds),
            "workload": {"name": self.workload},
            "budget": {"epochs": self.epochs},
            "methods": methods,
        }
        return make_sweep(apply_overrides(data, self.overrides), Path(self.experiment))


def _label(method: str, cell: Cell, fixed: Collection[str]) -> str:
    varied = {name: value for name, value in cell.items() if name not in fixed}
    return f"{method.rpartition('.')[2]} {cell_label(varied)}"
