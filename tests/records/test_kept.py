"""Arrays beside the records of a run."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napts.experiment import parse_spec, run
from napts.records.kept import read_kept, write_kept
from napts.records.layout import KEPT


def test_arrays_come_back_in_their_order(tmp_path: Path) -> None:
    arrays = {"x": np.arange(3.0), "a": np.eye(2, dtype=np.float32)}
    write_kept(tmp_path, arrays)
    found = read_kept(tmp_path)
    assert list(found) == ["x", "a"]
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
    write_kept(tmp_path, {"b": np.ones(1)})
    assert list(read_kept(tmp_path)) == ["b"]


@pytest.mark.parametrize("damage", ["missing", "cut", "text", "empty", "code"])
def test_what_cannot_be_read_is_not_there(tmp_path: Path, damage: str) -> None:
    path = tmp_path / KEPT
    if damage == "cut":
        write_kept(tmp_path, {"a": np.ones(99)})
        path.write_bytes(path.read_bytes()[:60])
    elif damage == "code":
        np.savez(path, a=np.array([Path("x")], dtype=object))
    elif damage != "missing":
        path.write_bytes(b"no arrays" if damage == "text" else b"")
    assert read_kept(tmp_path) == {}


def test_a_run_keeps_what_its_problem_wants(tmp_path: Path) -> None:
    def outcome_of(workload: dict[str, Any]) -> Path:
        data = {
            "experiment": "tests",
            "workload": workload,
            "optimizer": {"method": "TR"},
            "budget": {"epochs": 1},
        }
        outcome = run(parse_spec(data), tmp_path)  # pyright: ignore[reportArgumentType]
        assert outcome.state == "done", outcome.error
        return outcome.path

    small = {"points": 20, "hidden_layers": 2, "width": 4, "grid": [3, 4]}
    kept = read_kept(outcome_of({"name": "burgers", **small}))
    assert list(kept) == ["t", "x", "u", "exact"]
    assert kept["u"].shape == kept["exact"].shape == (101, 201)
    np.testing.assert_allclose(kept["u"][0], kept["exact"][0], atol=1e-6)  # the initial values
    assert not (outcome_of({"name": "synthetic-blobs"}) / KEPT).exists()
