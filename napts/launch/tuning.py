"""Tuning studies as sweeps: all settings with one seed, then the best of them with the others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from napts.analysis.tuning import Trial, experiment_name
from napts.experiment.specfile import SpecError, apply_overrides
from napts.launch.search import Cell, grid_cells
from napts.launch.sweepfile import Sweep, make_sweep

Search = Literal["grid", "random"]

GRIDS: Mapping[str, Mapping[str, Sequence[float]]] = {
    "Adam": {
        "lr": (
            *(1e-5, 2.15e-5, 4.64e-5, 1e-4, 2.15e-4, 4.64e-4, 1e-3, 2.15e-3, 4.64e-3),
            *(1e-2, 2.15e-2, 4.64e-2, 1e-1),
        )
    },
    "SGD": {
        "lr": (1e-4, 3.16e-4, 1e-3, 3.16e-3, 1e-2, 3.16e-2, 1e-1, 3.16e-1, 1.0),
        "momentum": (0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9),
    },
    "LBFGS": {
        "lr": (0.01, 0.0178, 0.0316, 0.0562, 0.1, 0.178, 0.316, 0.562, 1.0),
        "history_size": (3, 6, 12, 25, 50),
    },
}
"""The papers' numbers of settings in their ranges: Adam 13 learning rates, SGD 63 and LBFGS 45
combinations (APTS in weights, arXiv 2312.13677, section 3). Which ones is not printed; these are
our choice."""

RANGES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "Adam": {"lr": {"low": 1e-5, "high": 1e-1, "scale": "log"}},
    "SGD": {
        "lr": {"low": 1e-4, "high": 1.0, "scale": "log"},
        "momentum": {"low": 0.1, "high": 0.9},
    },
    "LBFGS": {
        "lr": {"low": 0.01, "high": 1.0, "scale": "log"},
        "history_size": {"low": 3, "high": 50, "scale": "integer"},
    },
}
"""The same ranges for quasi-random search; those of LBFGS's learning rate are ours."""

EPOCHS: Mapping[str, int] = {
    "digits-cnn": 15,
    "mnist-fcnn": 15,
    "fashion-mnist-fcnn": 15,
    "cifar10-mini": 12,
    "cifar10-mini-deep": 12,
    "cifar10-cnn": 50,
    "cifar10-lenet": 50,
    "cifar10-resnet18": 25,
}
"""Epochs of a comparison on each workload, which its tuning has as well."""


@dataclass(frozen=True)
class TuningPlan:
    """What is tuned, and how.

    Attributes:
        workload: Name of the workload.
        method: Adam, SGD or LBFGS.
        seeds: The first one screens all settings, the finalists get the others as well.
        epochs: Epochs of every run.
        search: All points of `GRIDS`, or quasi-random points of `RANGES`.
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
        if self.method not in GRIDS:
            raise SpecError([f"tune: found method {self.method!r}, allowed: {', '.join(GRIDS)}"])
        if self.search == "grid":
            return grid_cells(GRIDS[self.method])
        from napts.launch.search import Random

        search = {"samples": self.samples, **RANGES[self.method]}
        return Random.model_validate(search).cells()

    def screening(self) -> Sweep:
        """Return the runs of all settings with the first seed."""
        return self._sweep(self.cells(), self.seeds[:1])

    def final(self, screened: Sequence[Trial]) -> Sweep:
        """Return the runs of the finalists with every seed.

        Args:
            screened: The settings, best first.
        """
        names = list(self.cells()[0])
        best = [trial.options for trial in screened[: self.finalists]]
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
    from napts.launch.search import cell_label

    return f"{method} {cell_label(cell)}"
