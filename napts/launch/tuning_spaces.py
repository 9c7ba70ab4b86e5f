"""The settings to choose from when a method is tuned; registered by name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from napts.registry import Registry


@dataclass(frozen=True)
class TuningSpace:
    """The settings that a method may be tried with.

    Attributes:
        grid: For each option, its values; all combinations are tried.
        ranges: For each option, what quasi-random points are drawn from, as in the table
            ``random`` of a sweep file.
    """

    grid: Mapping[str, Sequence[Any]]
    ranges: Mapping[str, Mapping[str, Any]]


SPACES: Registry[TuningSpace] = Registry("tuning spaces")
"""By method."""

EPOCHS: Registry[int] = Registry("tuning epochs")
"""By workload, the epochs of a comparison on it, which its tuning uses too."""


def register_tuning_space(method: str, space: TuningSpace) -> None:
    """Set what a method is tuned over; raises ValueError if that contradicts an earlier setting."""
    SPACES.register(method, space)


def register_tuning_epochs(workload: str, epochs: int) -> None:
    """Set how many epochs tuning on a workload has; raises ValueError for a contradiction."""
    EPOCHS.register(workload, epochs)
