"""A study: several methods and seeds on one workload, expanded into runs."""

from collections import Counter
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from napts.experiment.methods.registry import OptimizerOptions
from napts.experiment.spec.budget import Budget
from napts.experiment.spec.execution import Execution, Pipelining
from napts.experiment.spec.run_spec import Name, Precision, RunSpec, Seed, WorkloadSpec
from napts.experiment.spec_table import Epochs, Label, SpecTable
from napts.records.layout import Kind
from napts.text import shown

MOST_RUNS = 100_000
"""Largest number of runs in one file; a day at one per second."""


def check_count(runs: int) -> None:
    """Check how many runs a file describes, before they are made.

    Raises:
        ValueError: There are too many.
    """
    if runs > MOST_RUNS:
        raise ValueError(f"found {shown(runs)} runs, allowed: at most {MOST_RUNS:,} runs in a file")


class StudyMethod(SpecTable):
    """One entry of ``[[methods]]``: an optimizer table with an optional label and budget.

    Attributes:
        optimizer: The method and its options.
        label: Name in tables and figures; the method's own name by default.
        epochs: Epochs, if they differ from the study's.
    """

    optimizer: OptimizerOptions
    label: Label | None = None
    epochs: Epochs | None = None

    @model_validator(mode="before")
    @classmethod
    def _nest(cls, data: Any) -> Any:
        """Accept the flat table of the file as well as the nested form."""
        if not isinstance(data, dict) or "optimizer" in data:
            return data
        own = {key: data[key] for key in ("label", "epochs") if key in data}
        return {"optimizer": {k: v for k, v in data.items() if k not in own}, **own}

    @property
    def display_label(self) -> str:
        """The label, or the method's name."""
        return self.label or self.optimizer.title


class Study(SpecTable):
    """Methods times seeds on one workload.

    Attributes:
        experiment: Name of the runs' folder.
        kind: What the runs are for; see :class:`RunSpec`.
        seeds: Seeds for every method; results are paired by seed.
        precision: Type of parameters and activations; by default the problem's.
        workload: The problem.
        methods: The methods.
        budget: How much training, the target and the batch size.
        pipeline: Stages and micro-batches; see :class:`RunSpec`.
        execution: Device, threads, ranks, checkpoints.
    """

    experiment: Name
    kind: Kind | None = None
    seeds: Annotated[tuple[Seed, ...], Field(strict=False, min_length=1)]
    precision: Precision | None = None
    workload: WorkloadSpec
    methods: Annotated[tuple[StudyMethod, ...], Field(strict=False, min_length=1)]
    budget: Budget
    pipeline: Pipelining | None = None
    execution: Execution = Execution()

    @model_validator(mode="after")
    def _distinct(self) -> "Study":
        repeated = [str(seed) for seed, n in Counter(self.seeds).items() if n > 1]
        if repeated:
            raise ValueError(f"seeds: found {', '.join(repeated)} twice, allowed: once each")
        check_count(len(self.seeds) * len(self.methods))
        labels = Counter(method.display_label for method in self.methods)
        repeated = [label for label, n in labels.items() if n > 1]
        if repeated:
            raise ValueError(
                f"methods: found the label {', '.join(repeated)} twice, "
                "allowed: a label of its own for each method"
            )
        return self

    @model_validator(mode="after")
    def _runs_can_be_made(self) -> "Study":
        """Check what only a run can show, above all whether its problem can be built."""
        try:
            for method in self.methods:
                self._run(method, self.seeds[0])
        except ValidationError as error:
            found = error.errors()[0]
            raise ValueError(str(found.get("ctx", {}).get("error", found["msg"]))) from None
        return self

    def runs(self) -> list[RunSpec]:
        """Return the runs, seed by seed, so that load on the machine affects all methods alike."""
        return [self._run(method, seed) for seed in self.seeds for method in self.methods]

    def _run(self, method: StudyMethod, seed: int) -> RunSpec:
        budget = self.budget
        if method.epochs is not None:
            budget = budget.model_copy(update={"epochs": method.epochs})
        return RunSpec(
            experiment=self.experiment,
            kind=self.kind,
            label=method.label,
            seed=seed,
            precision=self.precision,
            workload=self.workload,
            optimizer=method.optimizer,
            budget=budget,
            pipeline=self.pipeline,
            execution=self.execution,
        )
