"""What a run is: the validated spec, and the key that its scientific settings give it."""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticKnownError

from napts.experiment.options import OptimizerOptions, Options, SchwarzOptions
from napts.records.layout import NAME_PATTERN, SCHEMA
from napts.workloads import Workload, get_workload, options_model, workload_names

Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=100)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Precision = Literal["float32", "float64"]

_KEY_DIGITS = 10
_NOT_SCIENCE = ("experiment", "label", "execution")


class WorkloadSpec(BaseModel):
    """Which problem, with the options of that workload beside its name.

    Attributes:
        name: One of `napts.workloads.workload_names`.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or data.get("name") not in workload_names():
            return data
        options = {key: value for key, value in data.items() if key != "name"}
        # Stored with their defaults, so that a later change of a default changes the run key.
        complete = options_model(data["name"]).model_validate(options)
        return {"name": data["name"], **complete.model_dump(mode="json")}

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in workload_names():
            raise PydanticKnownError("literal_error", {"expected": ", ".join(workload_names())})
        return name

    def build(self) -> Workload:
        """Return the workload."""
        return get_workload(self.name, self.model_extra)


class Budget(Options):
    """How much training.

    Attributes:
        epochs: Passes over the training samples.
        batch_size: Samples per batch; None stands for the workload's default.
    """

    epochs: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)] | None = None


class Execution(Options):
    """Where and how a run runs; no part of the run key.

    Attributes:
        device: "cpu", "cuda", or "auto" for CUDA where there is a device.
        threads: Threads of one operation on the CPU.
        checkpoint_every_s: Seconds between checkpoints within an epoch; the end of every epoch has
            one in any case.
        record_steps: Whether every step is recorded, not only every epoch.
    """

    device: Literal["cpu", "cuda", "auto"] = "cpu"
    threads: Annotated[int, Field(ge=1)] = 1
    checkpoint_every_s: Annotated[float, Field(ge=0.0)] = 60.0
    record_steps: bool = True

    def torch_device(self) -> torch.device:
        """Return the device.

        Raises:
            ValueError: CUDA is asked for and there is none.
        """
        available = torch.cuda.is_available()
        if self.device == "cuda" and not available:
            raise ValueError("execution.device: found cuda, allowed here: cpu (no CUDA device)")
        return torch.device("cuda" if self.device != "cpu" and available else "cpu")


class RunSpec(Options):
    """One run: a method on a workload, with a seed and a budget.

    Attributes:
        experiment: Name of the folder that collects runs to be compared.
        label: Name of the method in tables and figures, if not the method's own.
        seed: Seed of the initial parameters, the order of the batches and dropout.
        precision: Type of parameters and activations.
        workload: The problem.
        optimizer: The method and its options.
        budget: Epochs and batch size.
        execution: Device, threads, checkpoints.
    """

    experiment: Name
    label: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    seed: Seed = 0
    precision: Precision = "float32"
    workload: WorkloadSpec
    optimizer: OptimizerOptions
    budget: Budget
    execution: Execution = Execution()

    @model_validator(mode="after")
    def _resolve(self) -> "RunSpec":
        """Replace what is left to the workload by the workload's defaults."""
        workload = self.workload.build()
        if self.budget.batch_size is None:
            budget = self.budget.model_copy(update={"batch_size": workload.batch_size})
            object.__setattr__(self, "budget", budget)
        if isinstance(self.optimizer, SchwarzOptions) and self.optimizer.subdomains is None:
            optimizer = self.optimizer.model_copy(update={"subdomains": workload.subdomains})
            object.__setattr__(self, "optimizer", optimizer)
        return self

    @property
    def display_label(self) -> str:
        """The label, or the method's name."""
        return self.label or self.optimizer.method

    @property
    def batch_size(self) -> int:
        """Samples per batch."""
        assert self.budget.batch_size is not None  # set by _resolve
        return self.budget.batch_size

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the run."""
        return torch.float64 if self.precision == "float64" else torch.float32

    def as_dict(self) -> dict[str, Any]:
        """Return the spec as plain nested data, from which it can be validated again."""
        return self.model_dump(mode="json")

    def science(self) -> dict[str, Any]:
        """Return the settings that determine the result, as plain nested data."""
        return {key: value for key, value in self.as_dict().items() if key not in _NOT_SCIENCE}

    @property
    def run_key(self) -> str:
        """Name of the run: method, seed, and a hash of all that determines the result."""
        content = {"schema": SCHEMA, **self.science()}
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        digest = hashlib.sha256(text.encode()).hexdigest()[:_KEY_DIGITS]
        return f"{self.optimizer.method.lower()}-s{self.seed}-{digest}"

    def header(self) -> dict[str, Any]:
        """Return the contents of ``spec.json``."""
        return {
            "schema": SCHEMA,
            "run_key": self.run_key,
            "experiment": self.experiment,
            "label": self.display_label,
            "spec": self.as_dict(),
        }
