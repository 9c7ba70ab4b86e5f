"""Errors of the user's problems and methods: one line that says where, and the traceback."""

import traceback
from pathlib import Path
from traceback import FrameSummary

import torch

from napts.experiment.packages import foreign_packages
from napts.experiment.plugins import own_code
from napts.experiment.spec.run_spec import RunSpec
from napts.problems import DataMissing
from napts.records.environment import capture_environment
from napts.records.write import record_failure

_LONGEST = 500
"""Characters of an error in a status; the traceback has all of it."""

_OURS = ("torch", "numpy", "napts", "pydantic")
"""Packages that are never to blame for what they were called with."""


def error_line(error: BaseException) -> str:
    """Return an error as one line, with the place in foreign code that it came from.

    Args:
        error: What was raised.

    Returns:
        For example ``"wine.py:14: RuntimeError: shape '[3]' is invalid"``; without a place where
        no code but that of napts, torch, NumPy and Python itself took part.
    """
    lines = "".join(traceback.format_exception_only(error)).strip().splitlines()
    said = lines or [type(error).__name__]
    if isinstance(error, SyntaxError):
        line = f"{Path(error.filename or '').name}:{error.lineno}: {said[-1]}"
    else:
        place = _place(error)
        line = f"{place}: {said[0]}" if place else said[0]
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def is_own_fault(error: BaseException, spec: RunSpec) -> bool:
    """Tell whether a run failed by itself before training, rather than by where it was started.

    Data that are missing, a device that is not there and options that do not fit concern the one
    who starts the run; errors of the user's code are a failure of the run.

    Args:
        error: What was raised while network, data and method were built.
        spec: The run.
    """
    if isinstance(error, DataMissing) or str(error).startswith("execution."):
        return False
    if spec.code is not None or not isinstance(error, ValueError | OSError):
        return True
    return _place(error) is not None


def record_setup_failure(spec: RunSpec, directory: Path, error: BaseException) -> None:
    """Record a run as failed that could not begin to train, see `napts.records.write`.

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


def _place(error: BaseException) -> str | None:
    """Return where in foreign code an error came from, as near to it as there is any."""
    frames = traceback.extract_tb(error.__traceback__)
    files = [(frame, Path(frame.filename)) for frame in frames if Path(frame.filename).is_file()]
    own = [frame for frame, file in files if own_code.is_own(file)]
    if own:
        return f"{Path(own[-1].filename).name}:{own[-1].lineno}"
    others = [found for frame, file in files if (found := _in_package(frame, file))]
    return others[-1] if others else None


def _in_package(frame: FrameSummary, file: Path) -> str | None:
    """Return the place of a frame in an installed package that is not one of ours."""
    folders = [n for n, part in enumerate(file.parts) if part.endswith("-packages")]
    if not folders:
        return None
    inside = Path(*file.parts[folders[-1] + 1 :])
    return None if inside.parts[0] in _OURS else f"{inside}:{frame.lineno}"
