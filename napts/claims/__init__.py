"""The former name of :mod:`napts.papers.claims`, kept for programs that use it."""

import warnings
from typing import Any

from napts.papers import claims

warnings.warn("napts.claims is now called napts.papers.claims", DeprecationWarning, stacklevel=2)


def __getattr__(name: str) -> Any:
    return getattr(claims, name)
