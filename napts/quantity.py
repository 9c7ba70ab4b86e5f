"""What a number counts or is measured in."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unit:
    """Stands beside the bounds of a number, and is named in the message when they are violated.

    Attributes:
        name: For example ``"seconds"``.
    """

    name: str
