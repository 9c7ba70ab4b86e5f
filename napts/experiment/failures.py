"""Errors in the user's problems and methods: one line that says where, and the traceback."""

from pathlib import Path

import torch

from napts.experiment.packages import foreign_packages
from napts.experiment.plugins.error_line import error_line, place_of
from napts.experiment.spec.run_spec import RunSpec
from napts.experiment.start import DataChanged
from napts.problems import DataMissing
from napts.records.environment import capture_environment
from napts.records.files import RecordWriteError
from napts.records.rows import RecordError
from napts.records.write import record_failure


def is_own_fault(error: BaseException, spec: RunSpec) -> bool:
    """Tell whether a run itself failed before training, rather than its surroundings.

    Missing data, a missing device and options that do not fit are problems of the call that starts
    the run; errors in the user's code are a failure of the run.

    Args:
        error: What was raised while network, data and method were built.
        spec: The run.
    """
    if isinstance(error, DataMissing | DataChanged | RecordError | RecordWriteError):
        return False
    if str(error).startswith("execution."):
        return False
    if spec.code is not None or not isinstance(error, ValueError | OSError):
        return True
    return place_of(error) is not None


def record_setup_failure(spec: RunSpec, directory: Path, error: BaseException) -> None:
    """Record a run that could not begin training as failed; see `napts.records.write`.

    Args:
        spec: The run.
        directory: Its directory, whose lock the caller holds.
        error: Why.

    Raises:
        RecordWriteError: The records cannot be written.
    """
    packages = foreign_packages(spec)
    environment = capture_environment(torch.device("cpu"), None, packages=packages)
    record_failure(directory, spec.header(), environment, error, error_line(error))


_RECORDED = "_napts_recorded"


def mark_recorded(error: BaseException) -> None:
    """Mark an error as already recorded as the run's failure.

    Args:
        error: What is raised further.
    """
    setattr(error, _RECORDED, True)


def is_recorded(error: BaseException) -> bool:
    """Tell whether an error is already recorded as a run's failure.

    Args:
        error: What was raised.
    """
    return getattr(error, _RECORDED, False)
