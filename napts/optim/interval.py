"""Intervals of numbers, in mathematical notation."""

import functools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Interval:
    """The numbers between two bounds.

    Attributes:
        text: In mathematical notation: ``"(0, 1]"``.
        low: The lower bound.
        high: The upper bound, or the name of the option that gives it.
        has_low: Whether the lower bound belongs to it.
        has_high: Whether the upper bound belongs to it.
    """

    text: str
    low: float
    high: float | str
    has_low: bool
    has_high: bool

    @staticmethod
    @functools.cache
    def parse(text: str) -> "Interval":
        """Read an interval, such as ``"(0, inf)"`` or ``"(0, eta_2]"``.

        Raises:
            ValueError: It is not an interval.
        """
        found = re.fullmatch(r"([(\[])(\S+), (\S+)([)\]])", text)
        if found is None:
            raise ValueError(f"Invalid interval: {text!r}, must be such as '(0, 1]'")
        opening, low, high, closing = found.groups()
        named = high.isidentifier() and high != "inf"
        bound = high if named else _number(high)
        return Interval(text, _number(low), bound, opening == "[", closing == "]")

    def __contains__(self, value: Any) -> bool:
        return self.holds(value, {})

    def holds(self, value: Any, options: Mapping[str, Any]) -> bool:
        """Tell whether a value is a number in the interval.

        Args:
            value: Anything.
            options: Where to look up an upper bound that is an option.
        """
        high = self.high
        try:
            high = options[high] if isinstance(high, str) else high
            above = self.low <= value if self.has_low else self.low < value
            return bool(above and (value <= high if self.has_high else value < high))
        except TypeError:
            return False

    def __str__(self) -> str:
        if self.high == math.inf:
            return f"{'at least' if self.has_low else 'above'} {self.low:g}"
        return f"in {self.text}"


def _number(text: str) -> float:
    return float(text) if "." in text or text.endswith("inf") else int(text)
