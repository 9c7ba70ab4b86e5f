"""How methods known by name are shown: their order, their look, what times are relative to.

Others come last, ordered by name, with looks of their own.
"""

from dataclasses import dataclass
from typing import Literal

from napts.registry import Registry

Dashes = Literal["-"] | tuple[float, tuple[float, ...]]


@dataclass(frozen=True)
class Look:
    """How one method is drawn.

    Attributes:
        color: Hexadecimal colour.
        dashes: Line style.
        marker: Marker of points.
    """

    color: str
    dashes: Dashes
    marker: str

    @property
    def size(self) -> float:
        """Size of the marker in points: stars and thin diamonds need more to be seen."""
        return {"*": 7.0, "d": 5.5}.get(self.marker, 4.0)


LOOKS: Registry[Look] = Registry("looks")
"""The look of a method by its name, in the order of every table, legend and bar chart."""

LEADING: Registry[str] = Registry("leading")
"""Problems whose comparisons come first on the page, and why."""

REFERENCES: Registry[str] = Registry("references")
"""Methods that the time per epoch is compared with, and the heading of the column."""
