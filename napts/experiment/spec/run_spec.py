"""A run as data: the validated spec, and the key derived from its scientific settings."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from napts.exits import guarded
from napts.experiment.methods.registry import Method, OptimizerOptions, method_named
from napts.experiment.plugins.error_line import error_line
from napts.experiment.plugins.own_code import check_files, code_of, differing_code
from napts.experiment.spec.budget import Budget
from napts.experiment.spec.execution import Execution, Pipelining
from napts.experiment.spec.passes import check_passes
from napts.experiment.spec_table import Label, SpecTable
from napts.problems import Problem, get_problem, options_model, problem_names
from napts.problems.registry import problem_modules
from napts.records.layout import NAME_PATTERN, SCHEMA, Kind, kind_by_name
from napts.records.metric import Metric
from napts.text import shown

Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=100)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Precision = Literal["float32", "float64"]

_KEY_DIGITS = 10
_NOT_SCIENCE = ("experiment", "kind", "label", "execution")


class WorkloadSpec(BaseModel):
    """Which problem, with its options beside its name.

    Attributes:
        name: One of `napts.problems.problem_names`.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or data.get("name") not in problem_names():
            return data
        options = {key: value for key, value in data.items() if key != "name"}
        # Stored with their defaults, so that a later change of a default changes the run key.
        with _refusing(data["name"]):
            complete = options_model(data["name"]).model_validate(options)
        return {"name": data["name"], **complete.model_dump(mode="json")}

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in problem_names():
            allowed = f"{', '.join(problem_names())}; a problem of your own needs --import FILE"
            raise ValueError(f"found {shown(name)}, allowed: {allowed}")
        return name

    def build(self) -> Problem:
        """Return the workload."""
        with _refusing(self.name):
            return get_problem(self.name, self.model_extra)


@contextmanager
def _refusing(name: str) -> Iterator[None]:
    """Refuse a problem whose own checks of its options fail, whatever they raise."""
    try:
        with guarded():
            yield
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(f"workload {name}: {error_line(error)}") from error


class RunSpec(SpecTable):
    """One run: a method on a workload, with a seed and a budget.

    Attributes:
        experiment: Name of the folder for runs to be compared.
        kind: What the runs are for: "comparison", "tuning" or "calibration". If it is not given,
            the experiment's name decides; see `napts.records.layout.kind_by_name`.
        label: Name of the method in tables and figures, if not the method's own.
        seed: Seed of the initial parameters, the order of the batches and dropout.
        precision: Type of parameters and activations; by default the problem's.
        workload: The problem.
        optimizer: The method and its options.
        budget: How much training, the target and the batch size.
        pipeline: Stages and micro-batches of a network that may be spread over ranks; None for
            a network that is called as a whole.
        execution: Device, threads, ranks, checkpoints.
        code: SHA-256 of every file of the problem's and the method's code that is the user's own;
            see :mod:`napts.experiment.plugins.own_code`. It is computed if it is None and checked
            if it is given. None for code of installed packages.
    """

    experiment: Name
    kind: Kind | None = None
    label: Label | None = None
    seed: Seed = 0
    precision: Precision | None = None
    workload: WorkloadSpec
    optimizer: OptimizerOptions
    budget: Budget
    pipeline: Pipelining | None = None
    execution: Execution = Execution()
    code: dict[str, str] | None = None

    @model_validator(mode="after")
    def _resolve(self) -> "RunSpec":
        """Fill in the workload's defaults for values that are not given."""
        workload = self.workload.build()
        budget = self.budget.resolved(workload.batch_size, self.primary)
        object.__setattr__(self, "budget", budget)
        if self.precision is None:
            object.__setattr__(self, "precision", workload.precision)
        if getattr(self.optimizer, "subdomains", 1) is None:
            optimizer = self.optimizer.model_copy(update={"subdomains": workload.subdomains})
            object.__setattr__(self, "optimizer", optimizer)
        self._check_compiled(workload)
        check_passes(self, workload)
        self._resolve_stages(workload)
        self._resolve_code()
        return self

    def _resolve_code(self) -> None:
        """Fill in or check the digests of the user's own code."""
        code = code_of(*self.modules) or None
        if self.code is not None and self.code != code:
            raise ValueError(differing_code(self.code, code or {}))
        object.__setattr__(self, "code", code)

    def _check_compiled(self, workload: Problem) -> None:
        """Check that a compiled loss can do what the method needs."""
        able = self.method.capabilities
        if not workload.compiled or not (able.needs == "stages" or self.differentiates_twice):
            return
        why = "takes second derivatives"
        if able.needs == "stages":
            why = "cuts the network into blocks of layers"
        raise ValueError(
            f"workload.compile: found true, allowed: false for {self.method.name}, which {why}"
        )

    def _resolve_stages(self, workload: Problem) -> None:
        """Fill in and check the stages of a pipeline."""
        ranks = self.execution.ranks
        if self.pipeline is None:
            self.check_replicas(ranks)
            return
        workload.check_pipeline()
        able = self.method.capabilities
        if not able.pipeline_ok:
            raise ValueError(
                f"optimizer.method: found {self.method.name}, allowed with [pipeline]: other "
                "methods"
            )
        if getattr(self.optimizer, "order", 1) == 2:
            raise ValueError("optimizer.order: found 2, allowed: 1 with [pipeline]")
        subdomains = getattr(self.optimizer, "subdomains", None)
        stages = self.pipeline.stages or subdomains or workload.subdomains
        if subdomains is not None and stages != subdomains:
            raise ValueError(
                f"pipeline.stages: found {stages}, allowed: {subdomains}, one for each of "
                "optimizer.subdomains"
            )
        if ranks > stages:
            raise ValueError(f"execution.ranks: found {ranks}, allowed: 1 to {stages}, the stages")
        if getattr(self.optimizer, "compile_local", False):
            raise ValueError("optimizer.compile_local: found true, allowed: false with [pipeline]")
        if ranks > 1 and not able.spread_ok:
            raise ValueError(f"execution.ranks: found {ranks}, allowed: 1 for {self.method.name}")
        pipeline = self.pipeline.model_copy(update={"stages": stages})
        object.__setattr__(self, "pipeline", pipeline)

    def check_replicas(self, ranks: int) -> None:
        """Check that the ranks are not more than the parts of a batch that they share.

        Args:
            ranks: Their number.

        Raises:
            ValueError: There are too many.
        """
        divided = self.method.capabilities.shared_by
        if divided is None:
            if ranks > 1:
                raise ValueError(f"execution.ranks: found {ranks}, allowed: 1 without [pipeline]")
            return
        most = getattr(self.optimizer, divided)
        if ranks > most:
            raise ValueError(f"execution.ranks: found {ranks}, allowed: 1 to {most}, the {divided}")

    @property
    def modules(self) -> tuple[str, ...]:
        """Names of the modules that define and register the problem and the method.

        Raises:
            ValueError: One of them is in no file, so that a change could not be detected.
        """
        found = problem_modules(self.workload.name)
        # A method that is named by its path comes from an installed package.
        if "." not in self.optimizer.method:
            found |= self.method.modules
        check_files(found)
        return tuple(sorted(found))

    @property
    def method(self) -> Method:
        """The method that the spec names."""
        return method_named(self.optimizer.method)

    @property
    def differentiates_twice(self) -> bool:
        """Whether the method, with its options, differentiates the gradient of the loss."""
        newton = getattr(self.optimizer, "coarse_solver", None) == "newton"
        return newton or self.method.capabilities.differentiates_twice

    @property
    def shared(self) -> bool:
        """Whether ranks may share the run: the stages of a pipeline, or subdomains or shards."""
        return self.pipeline is not None or self.execution.ranks > 1

    @property
    def stages(self) -> int:
        """Stages of the pipeline."""
        assert self.pipeline is not None
        assert self.pipeline.stages is not None  # set by _resolve
        return self.pipeline.stages

    @property
    def display_label(self) -> str:
        """The label, or the method's name."""
        return self.label or self.optimizer.title

    @property
    def batch_size(self) -> int | Literal["full"]:
        """Samples per batch; "full" for all training samples."""
        assert self.budget.batch_size is not None  # set by _resolve
        return self.budget.batch_size

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the run."""
        return torch.float64 if self.precision == "float64" else torch.float32

    def as_dict(self) -> dict[str, Any]:
        """Return the spec as plain nested data, from which it can be validated again."""
        data = self.model_dump(mode="json")
        for name in ("kind", "code"):
            if data[name] is None:
                del data[name]
        return data

    @property
    def primary(self) -> Metric:
        """The metric used to compare runs of the problem."""
        problem = self.workload.build()
        name, goal = problem.primary
        return Metric(name, goal, name in problem.fractions)

    def science(self) -> dict[str, Any]:
        """Return the settings that determine the result, as plain nested data."""
        science = {key: value for key, value in self.as_dict().items() if key not in _NOT_SCIENCE}
        science["optimizer"] = self.optimizer.science()
        if self.pipeline is None:
            del science["pipeline"]  # runs without one keep the key they had before there was one
        if not self.budget.overlap:
            del science["budget"]["overlap"]  # likewise
        if self.execution.autocast != "none":
            science["execution"] = {"autocast": self.execution.autocast}
        return science

    @property
    def run_key(self) -> str:
        """Name of the run: method, seed, and a hash of everything that determines the result."""
        content = {"schema": SCHEMA, **self.science()}
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        digest = hashlib.sha256(text.encode()).hexdigest()[:_KEY_DIGITS]
        return f"{self.optimizer.title.lower()}-s{self.seed}-{digest}"

    def header(self) -> dict[str, Any]:
        """Return the contents of ``spec.json``."""
        return {
            "schema": SCHEMA,
            "run_key": self.run_key,
            "experiment": self.experiment,
            "label": self.display_label,
            "kind": self.kind or kind_by_name(self.experiment),
            "primary": self.primary.as_dict(),
            "spec": self.as_dict(),
        }
