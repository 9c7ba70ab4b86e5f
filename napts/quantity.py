"""What a number counts or is measured in."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unit:
    """Stands beside the bounds of a number, and is told where it is out of them.

    Attributes:
        name: For example ``"seconds"``.
    """

    name: str
