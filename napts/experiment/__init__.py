"""Running experiments: validated specs, the training loop, the clock, seeding and checkpoints."""

from napts.experiment.budget import Budget
from napts.experiment.execution import Execution
from napts.experiment.methods import StepOptimizer, build_optimizer
from napts.experiment.observer import Observer, RunOutcome
from napts.experiment.options import METHODS
from napts.experiment.runner import MODES, Mode, run
from napts.experiment.series import run_all
from napts.experiment.spec import RunSpec, WorkloadSpec
from napts.experiment.specfile import SpecError, apply_overrides, load_spec, parse_spec
from napts.experiment.study import Study, StudyMethod

__all__ = [
    "METHODS",
    "MODES",
    "Budget",
    "Execution",
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
    "parse_spec",
    "run",
    "run_all",
]
