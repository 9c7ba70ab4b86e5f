"""Grids and quasi-random points."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from napts.launch.search import Random, Range, cell_label, grid_cells

numbers = st.floats(1e-6, 1e6, allow_nan=False)


@given(
    st.dictionaries(
        st.sampled_from("abcd"), st.lists(st.integers(), min_size=1, max_size=4, unique=True)
    )
)
def test_a_grid_has_every_combination_once(grid: dict[str, list[int]]) -> None:
    cells = grid_cells(grid)
    assert len(cells) == math.prod(map(len, grid.values()))
    assert len({tuple(sorted(cell.items())) for cell in cells}) == len(cells)
    assert all(cell[name] in grid[name] for cell in cells for name in grid)


@settings(deadline=None)
@given(numbers, numbers, st.sampled_from(["linear", "log", "integer"]), st.integers(1, 40))
def test_points_stay_in_their_range(a: float, b: float, scale: str, samples: int) -> None:
    low, high = sorted((a, b))
    if scale == "integer":
        low, high = float(int(low)), float(int(high) + 1)
    if not low < high:
        return
    data = {"samples": samples, "x": {"low": low, "high": high, "scale": scale}}
    cells = Random.model_validate(data).cells()
    assert len(cells) == samples
    slack = 1e-9 * high
    assert all(low - slack <= cell["x"] <= high + slack for cell in cells)
    assert cells == Random.model_validate(data).cells()


def test_points_cover_the_range_evenly_in_the_logarithm() -> None:
    search = Random.model_validate(
        {"samples": 60, "lr": {"low": 1e-5, "high": 1e-1, "scale": "log"}, "k": {"values": [1, 2]}}
    )
    cells = search.cells()
    decades = [math.floor(math.log10(cell["lr"])) for cell in cells]
    assert all(10 <= decades.count(decade) <= 20 for decade in (-5, -4, -3, -2))
    assert 20 <= sum(cell["k"] == 1 for cell in cells) <= 40


def test_another_seed_is_another_search() -> None:
    data = {"samples": 5, "x": {"low": 0.0, "high": 1.0}}
    one, two = (Random.model_validate({**data, "seed": seed}).cells() for seed in (0, 1))
    assert one != two


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({}, "either low and high, or values"),
        ({"low": 1.0, "high": 2.0, "values": [1]}, "either low and high, or values"),
        ({"low": 2.0, "high": 1.0}, "allowed: low < high"),
        ({"low": 0.0, "high": 1.0, "scale": "log"}, "above 0"),
        ({"low": 0.0, "high": 1.0, "scale": "cubic"}, "linear"),
    ],
)
def test_what_no_range_may_be(data: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Range.model_validate(data)


def test_labels_are_short() -> None:
    cell = {"window": 5, "budget.batch_size": 200, "lr": 0.0012345678, "betas": (0.9, 0.99)}
    assert cell_label(cell) == "window=5 batch_size=200 lr=0.001235 betas=0.9,0.99"
