"""Errors of the user's problems and methods: one line that says where, and the traceback."""

import time
import traceback
from pathlib import Path

import torch

from napts.experiment.packages import foreign_packages
from napts.experiment.plugins.error_line import error_line, place_of
from napts.experiment.spec.run_spec import RunSpec
from napts.experiment.start import DataChanged
from napts.problems import DataMissing
from napts.records.environment import capture_environment
from napts.records.files import RecordWriteError, write_atomic
from napts.records.layout import SPEC, STATUS, TRACEBACK
from napts.records.rows import RecordError, read_object
from napts.records.write import RunWriter


def is_own_fault(error: BaseException, spec: RunSpec) -> bool:
    """Tell whether a run failed by itself before training, rather than by where it was started.

    Data that are missing, a device that is not there and options that do not fit concern the one
    who starts the run; errors of the user's code are a failure of the run.

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
    """Record a run as failed that could not begin to train.

    Rows and checkpoints of an earlier attempt stay as they are: a retry goes on from there.

    Args:
        spec: The run.
        directory: Its directory, whose lock the caller holds.
        error: Why.

    Raises:
        RecordWriteError: The records cannot be written.
    """
    epoch = 0
    if (directory / STATUS).exists():
        epoch = read_object(directory / STATUS).get("epoch") or 0
    writer = RunWriter(directory, spec.budget.epochs)
    try:
        if not (directory / SPEC).exists():
            cpu = torch.device("cpu")
            environment = capture_environment(cpu, None, packages=foreign_packages(spec))
            writer.begin(spec.header(), environment, resumed_from=None, reason="started")
        write_traceback(directory, error)
        writer.status("failed", epoch, error=error_line(error))
    finally:
        writer.close()


def write_traceback(directory: Path, error: BaseException) -> None:
    """Write the traceback of an error into the directory of its run.

    Args:
        directory: The run directory.
        error: The error.

    Raises:
        RecordWriteError: The file cannot be written.
    """
    now = time.strftime("%Y-%m-%d %H:%M:%S %z")
    text = f"{now}\n{''.join(traceback.format_exception(error))}"
    write_atomic(directory / TRACEBACK, text.encode())
