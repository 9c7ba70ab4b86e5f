"""How a run is measured: the name of the main metric, and which direction is better."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from napts.records.damage import RecordError
from napts.text import one_line, shown

Goal = Literal["max", "min"]
GOALS: tuple[Goal, ...] = ("max", "min")

NAME_PATTERN = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
"""Allowed names of metrics; columns of the records and keys in MLflow are made from them."""


@dataclass(frozen=True)
class Metric:
    """A number used to compare runs.

    Attributes:
        name: Its name, for example ``"accuracy"``, ``"rmse"``; letters, digits, ``_``,
            ``.`` and ``-``.
        goal: Whether the largest or the smallest value is the best, ``"max"`` or ``"min"``.
        fraction: Whether it lies in [0, 1] and is shown in percent.

    Raises:
        ValueError: The name or the goal is not valid.
    """

    name: str
    goal: Goal
    fraction: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(NAME_PATTERN, self.name):
            raise ValueError(
                f"metric: found {shown(self.name)}, allowed: letters, digits, '_', '.' and '-'"
            )
        if self.goal not in GOALS:
            raise ValueError(
                f"metric {self.name}: found goal {shown(self.goal)}, allowed: max, min"
            )

    def column(self, part: str) -> str:
        """Return the column of the metric on a part of the data.

        Args:
            part: ``"val"`` or ``"test"``.

        Returns:
            For example ``"val_accuracy"``.
        """
        return f"{part}_{self.name}"

    @property
    def label(self) -> str:
        """The display name, for example ``"accuracy"``, ``"word error rate"``."""
        return self.name.replace("_", " ")

    @property
    def axis(self) -> str:
        """The name with its unit, for example ``"accuracy / %"``, ``"rmse"``."""
        return f"{self.label} / %" if self.fraction else self.label

    @property
    def heading(self) -> str:
        """The name with its unit in the head of a table, for example ``"accuracy %"``."""
        return f"{self.label} %" if self.fraction else self.label

    @property
    def scale(self) -> float:
        """Factor for showing values: 100 for fractions, otherwise 1."""
        return 100.0 if self.fraction else 1.0

    @property
    def worst(self) -> float:
        """The worst possible value: the wrong end of [0, 1] for fractions, otherwise infinity."""
        if self.fraction:
            return 0.0 if self.goal == "max" else 1.0
        return -math.inf if self.goal == "max" else math.inf

    def better(self, first: float, second: float) -> bool:
        """Tell whether the first value is better than the second; NaN is worse than any number."""
        if math.isnan(first) or math.isnan(second):
            return math.isnan(second) and not math.isnan(first)
        return first > second if self.goal == "max" else first < second

    def reaches(self, value: float, target: float) -> bool:
        """Tell whether a value is at least as good as a target; NaN never is."""
        return value >= target if self.goal == "max" else value <= target

    def score(self, value: float) -> float:
        """Return a value such that larger is better; applying this twice gives the value back."""
        return value if self.goal == "max" else -value

    def shown(self, value: float) -> str:
        """Return a value with its unit for display, for example ``"96.40 %"``, ``"0.4213"``."""
        return f"{100 * value:.2f} %" if self.fraction else f"{value:.4g}"

    def as_dict(self) -> dict[str, Any]:
        """Return it as in ``spec.json``."""
        return {"name": self.name, "goal": self.goal, "fraction": self.fraction}

    @property
    def worst_in_words(self) -> str:
        """The worst value in words: ``"an accuracy of 0"``, ``"r2 -∞"``."""
        if math.isinf(self.worst):
            return f"{self.label} {'-' if self.worst < 0 else ''}∞"
        return f"{'an' if self.label[0] in 'aeiou' else 'a'} {self.label} of {self.worst:g}"

    @classmethod
    def from_header(cls, header: Mapping[str, Any]) -> "Metric":
        """Return the metric that the contents of ``spec.json`` name.

        Args:
            header: The contents; those written before there were other metrics name none.

        Raises:
            RecordError: Its description is incomplete or wrong.
        """
        stored = header.get("primary")
        if stored is None:
            return ACCURACY
        if not isinstance(stored, dict) or not isinstance(stored.get("name"), str):
            raise RecordError(f"primary: found {shown(stored)}, allowed: a table with a name")
        try:
            return cls(stored["name"], stored["goal"], bool(stored.get("fraction", False)))
        except (KeyError, TypeError, ValueError) as error:
            raise RecordError(f"primary: found {shown(stored)}, {one_line(error, 100)}") from None


ACCURACY = Metric("accuracy", "max", fraction=True)
"""The metric of records that name none: all of them were of classification problems."""

LOSS = Metric("loss", "min")
"""The metric of problems that have no other."""


def direction_of(column: str, primary: Metric) -> Goal:
    """Return whether the largest or the smallest value of a column is the best.

    Args:
        column: Name of a column, for example ``"val_accuracy"``, ``"final_test_rmse"``,
            ``"train_loss"``.
        primary: The main metric of its runs.

    Returns:
        The goal of the main metric for its own columns; ``"min"`` for losses, times and counts.

    Raises:
        ValueError: It is another metric, whose direction is not known.
    """
    if is_of(column, primary):
        return primary.goal
    plain = column.removeprefix("final_")
    if plain.startswith(("val_", "test_")) and not plain.endswith("_loss"):
        raise ValueError(f"{column}: found no goal, allowed: max or min, which must be given")
    return "min"


def is_of(column: str, metric: Metric) -> bool:
    """Tell whether a column holds a metric, on validation or test data, at the end or before."""
    return column.removeprefix("final_") in (metric.column("val"), metric.column("test"))
