"""Options of a class that a spec names by its import path: data that imports nothing."""

import math
import re
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from napts.text import shown

_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+", re.ASCII)  # a run key is made of it


class PathOptions(BaseModel):
    """An import path, and beside it the keyword arguments for what it names.

    Arguments are numbers, strings, booleans, and lists and tables of them. Whether the class takes
    them shows when it is imported; see :mod:`napts.experiment.methods.foreign`.

    Attributes:
        method: The import path, for example ``"torch.optim.AdamW"``.
    """

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, allow_inf_nan=False)

    method: str

    @model_validator(mode="after")
    def _plain(self) -> Self:
        check_path(self.method)
        for name, value in (self.model_extra or {}).items():
            check_plain(name, value)
        return self

    def keywords(self) -> dict[str, Any]:
        """Return the keyword arguments."""
        return dict(self.model_extra or {})


class SchedulerOptions(PathOptions):
    """A learning-rate scheduler by its import path, with its arguments.

    Attributes:
        every: Whether it is called after every step or after every epoch.
    """

    every: Literal["step", "epoch"] = "epoch"


def check_path(path: str) -> None:
    """Check that a text may be an import path.

    Raises:
        ValueError: It is not, or it is one of this package, whose methods have names.
    """
    if not _PATH.fullmatch(path):
        raise ValueError(f"found {shown(path)}, allowed: an import path such as torch.optim.AdamW")
    if path.startswith("napts."):
        raise ValueError(
            f"found {shown(path)}, allowed: {shown(path.rpartition('.')[2])}, without the path"
        )


def check_plain(name: str, value: Any) -> None:
    """Check that a record can hold a value.

    Args:
        name: Its name in the message.
        value: The value.

    Raises:
        ValueError: It is not a number, a string, a boolean, or a list or table of them, or it is
            not finite.
    """
    if isinstance(value, dict):
        for key, item in value.items():
            check_plain(f"{name}.{key}", item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            check_plain(name, item)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name}: found {value}, allowed: finite numbers")
    elif not (value is None or isinstance(value, (bool, int, float, str))):
        allowed = "numbers, strings, true, false, lists and tables"
        raise ValueError(f"{name}: found {shown(value)}, allowed: {allowed}")
