"""The settings that a sweep tries: grids, and quasi-random points."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from napts.experiment.spec_table import SpecTable

Value = bool | int | float | str | tuple[Any, ...]
Values = Annotated[tuple[Any, ...], Field(strict=False, min_length=1)]
Cell = dict[str, Any]
"""A value for each varied setting."""


class Range(SpecTable):
    """Values of one setting that quasi-random points are drawn from.

    Attributes:
        low: Smallest value.
        high: Largest value.
        scale: "linear", "log" (evenly in the logarithm) or "integer".
        values: A choice of values instead of a range.
    """

    low: float | None = None
    high: float | None = None
    scale: Literal["linear", "log", "integer"] = "linear"
    values: Values | None = None

    @model_validator(mode="after")
    def _complete(self) -> "Range":
        if (self.values is None) == (self.low is None or self.high is None):
            raise ValueError("allowed: either low and high, or values")
        if self.low is not None and self.high is not None:
            if not self.low < self.high:
                raise ValueError(f"found low {self.low} and high {self.high}, allowed: low < high")
            if self.scale == "log" and self.low <= 0:
                raise ValueError(f"found low {self.low}, allowed with a log scale: above 0")
            span = self.high / self.low if self.scale == "log" else self.high - self.low
            if not math.isfinite(span):
                found = f"found low {self.low} and high {self.high}"
                raise ValueError(f"{found}, allowed: values that are closer together")
        return self

    def at(self, share: float) -> Any:
        """Return the value at a share of the range.

        Args:
            share: In [0, 1).
        """
        if self.values is not None:
            return self.values[int(share * len(self.values))]
        assert self.low is not None
        assert self.high is not None
        if self.scale == "log":
            return math.exp(math.log(self.low) + share * math.log(self.high / self.low))
        if self.scale == "integer":
            return int(self.low) + int(share * (int(self.high) - int(self.low) + 1))
        return self.low + share * (self.high - self.low)


class Random(SpecTable):
    """Quasi-random search: a scrambled Halton sequence.

    Attributes:
        samples: Number of points.
        seed: Seed of the scrambling.
        ranges: For each setting, what its values are drawn from.
    """

    samples: Annotated[int, Field(ge=1, le=100_000)]
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    ranges: Annotated[dict[str, Range], Field(min_length=1)]

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, data: Any) -> Any:
        """Accept the flat table of the file: all keys except two are settings."""
        if not isinstance(data, Mapping) or "ranges" in data:
            return data
        own = {key: data[key] for key in ("samples", "seed") if key in data}
        return {**own, "ranges": {k: v for k, v in data.items() if k not in own}}

    def cells(self) -> list[Cell]:
        """Return the points, the same every time."""
        from scipy.stats import qmc

        points = qmc.Halton(len(self.ranges), rng=self.seed).random(self.samples)
        return [
            {name: rng.at(x) for (name, rng), x in zip(self.ranges.items(), point, strict=True)}
            for point in points.tolist()
        ]


def grid_cells(grid: Mapping[str, Sequence[Any]]) -> list[Cell]:
    """Return all combinations, with the last setting varying fastest; one empty one for no grid.

    Args:
        grid: For each setting, its values.
    """
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def cell_label(cell: Cell) -> str:
    """Return what distinguishes a cell, such as ``"window=5 lr=0.01"``."""
    return " ".join(f"{name.rpartition('.')[2]}={_short(value)}" for name, value in cell.items())


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return ",".join(map(_short, value))
    return str(value)
