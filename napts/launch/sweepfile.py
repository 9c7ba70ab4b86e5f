"""A sweep: a study with varied settings, and what its jobs ask for."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from napts.experiment.methods.registry import method_named
from napts.experiment.spec.reading import (
    apply_overrides,
    parse_spec,
    read_toml,
    spec_error,
    validated,
)
from napts.experiment.spec.run_spec import Name, RunSpec, Seed
from napts.experiment.spec.study import check_count
from napts.experiment.spec_table import Epochs, Label, SpecTable
from napts.launch.bounds import MemoryGb, RunsPerJob, TimeoutMin
from napts.launch.search import Cell, Random, Values, cell_label, grid_cells
from napts.records.layout import Kind
from napts.text import shown

Grid = dict[str, Values]
Seeds = Annotated[tuple[Seed, ...], Field(strict=False, min_length=1)]

_TABLES = ("workload", "optimizer", "budget", "execution", "pipeline")
_MAX_LABEL = 100


class Resources(SpecTable):
    """What a job asks for, beyond what follows from a run's spec.

    Attributes:
        timeout_min: Wall time of a job in minutes; None leaves it to the cluster's profile.
        memory_gb: Memory of a job in GB; likewise.
        runs_per_job: Runs that one job does one after the other.
    """

    timeout_min: TimeoutMin | None = None
    memory_gb: MemoryGb | None = None
    runs_per_job: RunsPerJob | None = None

    def over(self, other: "Resources") -> "Resources":
        """Return these, completed with the other's where these are not set."""
        own = self.model_dump(exclude_none=True)
        return other.model_copy(update=own)


class SweepMethod(SpecTable):
    """One entry of ``[[methods]]``: a method, its fixed options, and those that are varied.

    Attributes:
        method: Name of the method.
        label: Name in tables and figures; the method's own name by default. Varied settings are
            added to it.
        epochs: Epochs, if they differ from the sweep's.
        seeds: Seeds, if they differ from the sweep's.
        grid: Values of settings; all combinations are run. A name without a dot is an option of
            the method, one with a dot is a key of the spec (``budget.batch_size``).
        random: Quasi-random points, crossed with the grid.
        set: Values for keys of the spec, for this method.
        resources: What its jobs ask for, if it differs from the sweep's.
        options: The fixed options.
    """

    method: str
    label: Label | None = None
    epochs: Epochs | None = None
    seeds: Seeds | None = None
    grid: Grid = Field(default_factory=dict)
    random: Random | None = None
    set: dict[str, Any] = Field(default_factory=dict)
    resources: Resources = Resources()
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, data: Any) -> Any:
        """Accept the flat table of the file: keys without another meaning are options."""
        if not isinstance(data, Mapping) or "options" in data:
            return data
        own = {key: data[key] for key in data if key in cls.model_fields}
        return {**own, "options": {k: v for k, v in data.items() if k not in own}}

    def cells(self, common: Grid) -> list[Cell]:
        """Return the settings to try, including those common to all methods."""
        points = self.random.cells() if self.random else [{}]
        return [{**fixed, **p} for fixed in grid_cells({**common, **self.grid}) for p in points]


class SweepFile(SpecTable):
    """Contents of a sweep file; a study file is one without anything varied.

    Attributes:
        experiment: Name of the runs' folder.
        kind: What the runs are for, as in a run's spec.
        seeds: Seeds for every setting.
        precision: Type of parameters and activations, as in a run's spec.
        workload: The problem, as in a run's spec.
        budget: Limits, target and batch size, as in a run's spec.
        pipeline: As in a run's spec.
        execution: As in a run's spec.
        grid: Settings varied for every method.
        alternatives: Sets of settings that are changed together, one set at a time. Every method is
            run as it is and also with each set, or with those of its settings that apply to it.
        resources: What jobs ask for.
        methods: The methods.
    """

    experiment: Name
    kind: Kind | None = None
    seeds: Seeds
    precision: str | None = None
    workload: dict[str, Any]
    budget: dict[str, Any]
    pipeline: dict[str, Any] | None = None
    execution: dict[str, Any] = Field(default_factory=dict)
    grid: Grid = Field(default_factory=dict)
    alternatives: Annotated[tuple[dict[str, Any], ...], Field(strict=False)] = ()
    resources: Resources = Resources()
    methods: Annotated[tuple[SweepMethod, ...], Field(strict=False, min_length=1)]

    @model_validator(mode="after")
    def _countable(self) -> "SweepFile":
        check_count(sum(self._most_runs(method) for method in self.methods))
        return self

    def _most_runs(self, method: SweepMethod) -> int:
        """Return how many runs of a method there may be, without making them."""
        cells = math.prod(map(len, {**self.grid, **method.grid}.values()))
        points = method.random.samples if method.random else 1
        return len(method.seeds or self.seeds) * (1 + len(self.alternatives)) * cells * points

    def cells(self, method: SweepMethod) -> list[Cell]:
        """Return the settings to try with a method."""
        known = _options_of(method.method)
        changes: list[Cell] = [{}]
        for alternative in self.alternatives:
            change = {k: v for k, v in alternative.items() if "." in k or k in known}
            if change not in changes:
                changes.append(change)
        return [{**change, **cell} for change in changes for cell in method.cells(self.grid)]


def _options_of(name: str) -> Collection[str]:
    """Return the options of a method; empty if there is no such method, which is reported later."""
    try:
        return method_named(name).options.model_fields
    except ValueError:
        return ()


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """One run of a sweep.

    Attributes:
        spec: The run.
        resources: What its job asks for.
    """

    spec: RunSpec
    resources: Resources

    @property
    def name(self) -> str:
        """Display name, such as ``"NAPTS window=5 seed 3"``."""
        return f"{self.spec.display_label} seed {self.spec.seed}"


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep file and all its runs.

    Attributes:
        path: The file.
        experiment: Name of the runs' folder.
        planned: The runs, seed by seed, so that load on the machine affects all settings alike.
    """

    path: Path
    experiment: str
    planned: list[PlannedRun]

    def runs(self) -> list[RunSpec]:
        """Return the specs of all runs."""
        return [planned.spec for planned in self.planned]


def load_sweep(path: str | Path, overrides: Iterable[str] = ()) -> Sweep:
    """Read a sweep from a TOML file and expand it.

    Args:
        path: The file.
        overrides: Assignments such as ``budget.epochs=3``, as for a spec.

    Raises:
        SpecError: The file is missing, is not TOML, or one of its runs is not valid.
    """
    path = Path(path)
    return make_sweep(apply_overrides(read_toml(path), overrides), path)


def make_sweep(data: Mapping[str, Any], path: Path) -> Sweep:
    """Expand the contents of a sweep file.

    Args:
        data: Its contents.
        path: Its name, for messages.

    Raises:
        SpecError: One of its runs is not valid.
    """
    file = validated(SweepFile, data, str(path))
    return Sweep(path, file.experiment, _expand(file, str(path)))


def _expand(file: SweepFile, source: str) -> list[PlannedRun]:
    by_method = [list(_runs_of(file, i, m, source)) for i, m in enumerate(file.methods)]
    planned = [run for runs in by_method for run in runs]
    _check_distinct(planned, source)
    order = {seed: i for i, seed in enumerate(dict.fromkeys(run.spec.seed for run in planned))}
    return sorted(planned, key=lambda run: order[run.spec.seed])


def _runs_of(file: SweepFile, index: int, method: SweepMethod, source: str) -> Iterable[PlannedRun]:
    varied = {name for name, values in {**file.grid, **method.grid}.items() if len(values) > 1}
    varied |= set(method.random.ranges) if method.random else set()
    varied |= {name for alternative in file.alternatives for name in alternative}
    base = method.label or method.method
    for seed in method.seeds or file.seeds:
        for cell in file.cells(method):
            tag = cell_label({name: value for name, value in cell.items() if name in varied})
            label = f"{base} {tag}".strip()[:_MAX_LABEL] if tag or method.label else None
            data = _run_data(file, method, seed, cell, label)
            where = f"{source}: methods.{index} ({label or base})"
            spec = parse_spec(data, where)
            assert isinstance(spec, RunSpec)
            yield PlannedRun(spec, method.resources.over(file.resources))


def _run_data(
    file: SweepFile, method: SweepMethod, seed: int, cell: Cell, label: str | None
) -> dict[str, Any]:
    """Return the fields of one run's spec."""
    data: dict[str, Any] = {
        "experiment": file.experiment,
        "seed": seed,
        "precision": file.precision,
        "workload": dict(file.workload),
        "optimizer": {"method": method.method, **method.options},
        "budget": dict(file.budget),
        "execution": dict(file.execution),
    }
    if file.kind is not None:
        data["kind"] = file.kind
    if label is not None:
        data["label"] = label
    if file.pipeline is not None:
        data["pipeline"] = dict(file.pipeline)
    if method.epochs is not None:
        data["budget"]["epochs"] = method.epochs
    for name, value in {**method.set, **cell}.items():
        table, _, key = name.partition(".")
        if key and table in _TABLES:
            data[table] = _placed(data.get(table, {}), key.split("."), value)
        elif key:
            problem = f"found a place in {shown(table)}, allowed: {', '.join(_TABLES)}"
            raise spec_error(name, problem)
        else:
            data["optimizer"][name] = value
    return data


def _placed(table: Mapping[str, Any], names: Sequence[str], value: Any) -> dict[str, Any]:
    """Return a copy of nested tables with one value replaced or added."""
    if len(names) == 1:
        return {**table, names[0]: value}
    return {**table, names[0]: _placed(table.get(names[0], {}), names[1:], value)}


def _check_distinct(planned: Iterable[PlannedRun], source: str) -> None:
    names: dict[str, str] = {}
    labels: dict[tuple[str, int], str] = {}
    for run in planned:
        key, label = run.spec.run_key, (run.spec.display_label, run.spec.seed)
        if key in names:
            both = f"{names[key]} and {run.name}"
            raise spec_error(source, f"{both} are the same run, allowed: once")
        if label in labels:
            problem = f"found two settings called {run.name}, allowed: a label for each"
            raise spec_error(source, problem)
        names[key], labels[label] = run.name, key
