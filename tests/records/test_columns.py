"""The one table of columns is what runs write and what everything else reads."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.made_runs import epoch_row
from napts.experiment import RunSpec, parse_spec, run
from napts.experiment.progress import Tally
from napts.optim import StepRecord
from napts.optim.record import OPTIONAL_FIELDS, QUASI_NEWTON_FIELDS, SUM_FIELDS
from napts.records import load_run
from napts.records.columns import COLUMNS, FINAL, TARGET, column, columns_of, metrics_in, unknown
from napts.records.layout import EPOCHS, MERGED, RESTARTS, STATUS, STEPS
from napts.records.rows import read_rows
from napts.records.write import RunWriter
from napts.tracking import payload
from tests.records.page import page


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = parse_spec(
        {
            "experiment": "tests",
            "workload": {"name": "synthetic-blobs"},
            "optimizer": {"method": "NAPTS"},
            "budget": {"epochs": 1, "target": {"metric": "val_accuracy", "value": 1.1}},
        }
    )
    assert isinstance(spec, RunSpec)
    return run(spec, tmp_path_factory.mktemp("records")).path


@pytest.mark.parametrize("file", [EPOCHS, STEPS, RESTARTS])
def test_rows_have_the_columns_of_the_table(directory: Path, file: str) -> None:
    rows = read_rows(directory / file)
    assert rows
    for row in rows:
        assert unknown(file, row) == []
        always = [each for each in columns_of(file) if not each.optional]
        assert [each.name for each in always if not any(map(each.describes, row))] == []
        assert not any(
            each.describes(name) for each in columns_of(file) if each.optional for name in row
        )


def test_counts_of_finite_sums_are_optional_columns() -> None:
    record = StepRecord(1.0, hessians=0.1, hessian_products=0.5, cg_iterations=5)
    record = replace(record, sample_fraction=0.1)
    tally = Tally()
    tally.add(StepRecord(1.0), 2)
    assert not set(SUM_FIELDS) & {*tally.as_row(), *StepRecord(1.0).as_dict()}
    tally.add(record, 2)
    tally.add(record, 2)
    row = tally.as_row()
    expected = {"hessians": 0.2, "hessian_products": 1.0, "cg_iterations": 10}
    assert {name: row[name] for name in expected} == pytest.approx(expected)
    assert row["sample_fraction"] == 0.1
    for file, found in ((EPOCHS, row), (STEPS, record.as_dict())):
        assert unknown(file, found) == []
        optional = {each.name for each in columns_of(file) if each.optional}
        assert optional - {MERGED} == set(OPTIONAL_FIELDS)
        assert set(SUM_FIELDS) == optional & set(found)


def test_counts_of_quasi_newton_methods_are_optional_columns() -> None:
    record = replace(StepRecord(1.0), gradients_published=6.0, gradients_concurrent=8.0)
    tally = Tally()
    for _ in range(3):
        tally.add(record, 2)
    row = tally.as_row()
    assert {n: row[n] for n in QUASI_NEWTON_FIELDS if n in row} == {
        "gradients_published": 18.0,
        "gradients_concurrent": 24.0,
    }
    for file, found in ((EPOCHS, row), (STEPS, record.as_dict())):
        assert unknown(file, found) == []
        assert set(found) & set(OPTIONAL_FIELDS) == set(QUASI_NEWTON_FIELDS) - {"update_cost"}


def test_the_status_has_the_columns_of_the_table(directory: Path) -> None:
    status = json.loads((directory / STATUS).read_text())
    assert unknown(STATUS, status) == unknown(FINAL, status["final"]) == []
    assert {each.name for each in columns_of(STATUS)} == set(status)
    target = status["target"]
    assert {each.name for each in columns_of(TARGET)} == set(target)
    assert (target["metric"], target["reached"]) == ("val_accuracy", False)


def test_made_runs_are_like_real_ones(directory: Path) -> None:
    real = set(load_run(directory).epochs[1])
    assert set(epoch_row("NAPTS", 0, 1, 50)) == real


def test_what_differs_between_equal_runs_is_marked(directory: Path) -> None:
    measured = {each.name for each in columns_of(EPOCHS) if each.measured}
    assert measured == {
        name for name in load_run(directory).epochs[0] if name.endswith("_seconds")
    } | {"attempt", "time", "peak_memory_mb"}


def test_mlflow_takes_its_names_from_the_table() -> None:
    names = {each.name for each in columns_of(EPOCHS)}
    row = {name: 1.0 for name in names}
    keys = {point.key for point in payload.epoch_points({**row, "val_rmse": 1.0})}
    per_batch = {each.per_batch for each in COLUMNS if each.per_batch} - {"nonmonotone_rate"}
    assert per_batch <= keys
    assert "val_rmse" in keys


def test_a_metric_s_column_is_found_by_any_name() -> None:
    found = column(EPOCHS, "val_top-5.error")
    assert found is not None
    assert found.name == "val_<metric>"
    loss = column(EPOCHS, "val_loss")
    assert loss is not None
    assert loss.name == "val_loss"
    assert unknown(EPOCHS, ["val_r2", "speed"]) == ["speed"]
    assert metrics_in([{"val_loss": 1, "val_r2": 2}, {"val_rmse": 3, "test_mae": 1}]) == [
        "r2", "rmse",
    ]  # fmt: skip


def test_the_page_is_what_the_table_says() -> None:
    path = Path(__file__).parents[2] / "docs" / "reference" / "records.md"
    assert path.read_text() == page(), "python -m tests.records.page > docs/reference/records.md"


def test_a_column_that_the_table_does_not_have_is_not_written(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path, None)
    writer.epoch({"epoch": 1, "val_r2": 0.5})
    with pytest.raises(ValueError, match=r"epochs\.jsonl: found speed, allowed: columns in"):
        writer.epoch({"epoch": 2, "speed": 1.0})
    with pytest.raises(ValueError, match=r"steps\.jsonl: found speed"):
        writer.steps([{"step": 1, "speed": 1.0}])
    writer.close()
    assert [row["epoch"] for row in read_rows(tmp_path / EPOCHS)] == [1]
    assert read_rows(tmp_path / STEPS) == []
