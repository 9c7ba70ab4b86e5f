"""Specs: a run or a study as data, and how it is read from a file.

Start reading in :mod:`napts.experiment.spec.run_spec`.
"""

from napts.experiment.spec.budget import Budget
from napts.experiment.spec.execution import Execution
from napts.experiment.spec.reading import SpecError, apply_overrides, load_spec, parse_spec
from napts.experiment.spec.run_spec import RunSpec, WorkloadSpec
from napts.experiment.spec.study import Study, StudyMethod

__all__ = [
    "Budget",
    "Execution",
    "RunSpec",
    "SpecError",
    "Study",
    "StudyMethod",
    "WorkloadSpec",
    "apply_overrides",
    "load_spec",
    "parse_spec",
]
