"""An error as one line, with the place in the user's code that caused it."""

import traceback
from pathlib import Path
from traceback import FrameSummary

from napts import exits
from napts.experiment.plugins import own_code

_LONGEST = 500
"""Characters of an error in a status; the traceback has all of it."""

_OURS = ("torch", "numpy", "napts", "pydantic")
"""Packages that are never to blame for their arguments."""

_SCHEDULED = "scheduled.py"
"""The module of this package that calls schedulers."""


def error_line(error: BaseException) -> str:
    """Return an error as one line, with the place in foreign code that it came from.

    Args:
        error: What was raised.

    Returns:
        For example ``"wine.py:14: RuntimeError: shape '[3]' is invalid"``; without a place if only
        code of napts, torch, NumPy and Python itself was involved.
    """
    error = exits.raised(error)
    lines = "".join(traceback.format_exception_only(error)).strip().splitlines()
    said = lines or [type(error).__name__]
    if isinstance(error, SyntaxError):
        line = f"{Path(error.filename or '').name}:{error.lineno}: {said[-1]}"
    else:
        place = place_of(error)
        line = f"{place}: {said[0]}" if place else said[0]
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def place_of(error: BaseException) -> str | None:
    """Return the place in foreign code that is nearest to an error's origin."""
    frames = traceback.extract_tb(error.__traceback__)
    files = [(frame, Path(frame.filename)) for frame in frames if Path(frame.filename).is_file()]
    own = [frame for frame, file in files if own_code.is_own(file)]
    if own:
        return f"{Path(own[-1].filename).name}:{own[-1].lineno}"
    others = [found for frame, file in files if (found := _in_package(frame, file))]
    return others[-1] if others else _in_optimizer(frames)


def _in_package(frame: FrameSummary, file: Path) -> str | None:
    """Return the place of a frame in an installed package other than the trusted ones."""
    folders = [n for n, part in enumerate(file.parts) if part.endswith("-packages")]
    if not folders:
        return None
    inside = Path(*file.parts[folders[-1] + 1 :])
    return None if inside.parts[0] in _OURS else f"{inside}:{frame.lineno}"


def _in_optimizer(frames: list[FrameSummary]) -> str | None:
    """Return the part of the spec whose torch class has raised, with the place in torch."""
    found = None
    for frame in reversed(frames):
        parts = Path(frame.filename).parts
        if "torch" not in parts:
            if found is None:
                return None
            scheduled = Path(frame.filename).name == _SCHEDULED
            return f"optimizer{'.scheduler' if scheduled else ''} ({found})"
        inside = parts[len(parts) - 1 - parts[::-1].index("torch") :]
        if found is None and inside[1] == "optim" and inside[-1] != "optimizer.py":
            found = f"{'/'.join(inside)}:{frame.lineno}"
    return None
