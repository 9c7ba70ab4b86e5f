"""The settings a method is tuned over, from a TOML file: a grid, or random points in ranges."""

import math
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from napts.experiment.spec.reading import read_toml, spec_error, validated
from napts.experiment.spec.study import check_count
from napts.experiment.spec_table import SpecTable
from napts.launch.search import Cell, Random, Values, grid_cells


class SpaceFile(SpecTable):
    """The settings that a method is tried with.

    Attributes:
        grid: For each option, its values; all combinations are tried.
        random: For each option, what quasi-random points are drawn from, as in a sweep file.
        fixed: Options that all settings share.
    """

    grid: dict[str, Values] | None = Field(default=None, min_length=1)
    random: Random | None = None
    fixed: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one(self) -> "SpaceFile":
        if (self.grid is None) == (self.random is None):
            raise ValueError("allowed: one of the tables [grid] and [random]")
        varied = self.grid if self.random is None else self.random.ranges
        both = sorted({*(varied or {})} & {*self.fixed})
        if both:
            raise ValueError(f"found {both[0]} in [fixed] too, allowed: in one of the tables")
        check_count(math.prod(map(len, (self.grid or {}).values())))
        return self

    def cells(self) -> list[Cell]:
        """Return the settings, including the fixed options."""
        cells = grid_cells(self.grid or {}) if self.random is None else self.random.cells()
        return [{**self.fixed, **cell} for cell in cells]


_SAMPLES = 20


def load_space(path: Path, samples: int | None) -> SpaceFile:
    """Read a file.

    Args:
        path: The file.
        samples: Number of random points if the file does not set it; 20 by default.

    Raises:
        SpecError: The file is missing, is not TOML, does not describe settings, or sets another
            number of points, or a grid.
    """
    data = read_toml(path)
    table = data.get("random")
    if samples is not None and (not isinstance(table, dict) or "samples" in table):
        there = "a grid" if "grid" in data else "samples of its own"
        raise spec_error(
            "--samples", f"found {samples}, but {path} has {there}, allowed: only one of them"
        )
    if isinstance(table, dict):
        data["random"] = {"samples": samples or _SAMPLES, **table}
    return validated(SpaceFile, data, str(path))
