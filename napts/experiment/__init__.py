"""Running experiments: validated specs, the training loop, the clock, seeding and checkpoints."""

import warnings
from typing import Any

from napts.experiment.methods.method import Capabilities, Method, StepOptimizer
from napts.experiment.methods.registry import (
    build_optimizer,
    method_named,
    method_names,
    register_method,
)
from napts.experiment.observer import Observer, RunOutcome
from napts.experiment.runner import MODES, Mode, run
from napts.experiment.series import run_all
from napts.experiment.spec.budget import Budget
from napts.experiment.spec.execution import Execution
from napts.experiment.spec.reading import SpecError, apply_overrides, load_spec, parse_spec
from napts.experiment.spec.run_spec import RunSpec, WorkloadSpec
from napts.experiment.spec.study import Study, StudyMethod

__all__ = [
    "MODES",
    "Budget",
    "Capabilities",
    "Execution",
    "Method",
    "Mode",
    "Observer",
    "RunOutcome",
    "RunSpec",
    "SpecError",
    "StepOptimizer",
    "Study",
    "StudyMethod",
    "WorkloadSpec",
    "apply_overrides",
    "build_optimizer",
    "load_spec",
    "method_named",
    "method_names",
    "parse_spec",
    "register_method",
    "run",
    "run_all",
]


def __getattr__(name: str) -> Any:
    if name != "METHODS":
        raise AttributeError(f"module 'napts.experiment' has no attribute {name!r}")
    warnings.warn(
        "napts.experiment.METHODS is method_names() now", DeprecationWarning, stacklevel=2
    )
    return method_names()
