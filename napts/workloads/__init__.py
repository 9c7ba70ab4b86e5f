"""The former name of :mod:`napts.problems`, kept for programs that use it."""

import warnings
from typing import Any

from napts import problems

warnings.warn("napts.workloads is now called napts.problems", DeprecationWarning, stacklevel=2)


def __getattr__(name: str) -> Any:
    return getattr(problems, name)
