"""Translating records into MLflow's vocabulary."""

import math

from hypothesis import given
from hypothesis import strategies as st

from napts.experiment import RunSpec, parse_spec, run
from napts.records import load_run
from napts.tracking import payload
from napts.tracking.ui import ui_command

ROW = {"epoch": 2, "time": 10.5, "batches": 4, "train_seconds": 2.0}


def _values(row):
    return {point.key: point.value for point in payload.epoch_points(ROW | row)}


def test_totals_become_means_over_the_batches():
    values = _values({"rejections": 6, "forwards": 12, "accepted": 3})
    assert values["rejections_per_batch"] == 1.5
    assert values["forwards_per_batch"] == 3.0
    assert values["acceptance_rate"] == 0.75


def test_an_epoch_without_batches_has_no_means():
    assert "rejections_per_batch" not in _values({"batches": 0, "rejections": 0})


def test_time_and_step_of_a_point():
    (point,) = payload.epoch_points({"epoch": 2, "time": 10.5, "val_loss": 1})
    assert point == payload.Point("val_loss", 1.0, 10_500, 2)


@given(st.floats())
def test_every_value_is_finite_or_a_gap(value):
    stored = _values({"val_loss": value})["val_loss"]
    assert stored == value if math.isfinite(value) else math.isnan(stored)


def test_parameters_are_flat():
    spec = {"seed": 0, "optimizer": {"window": 5, "betas": [0.9, 0.999], "radius": None}}
    assert payload.parameters(spec) == {
        "seed": "0",
        "optimizer.window": "5",
        "optimizer.betas": "[0.9, 0.999]",
    }


def test_digest_of_rows_tells_attempts_apart():
    row = {"attempt": 1, "epoch": 1, "val_loss": math.inf}
    assert payload.digest_of([row]) == payload.digest_of([dict(row)])
    assert payload.digest_of([row]) != payload.digest_of([row | {"attempt": 2}])
    assert payload.digest_of([row]) != payload.digest_of([row, row])


def test_data_digest_is_short():
    assert payload.data_digest({"data_digest": "sha256:" + "ab" * 32}) == "ab" * 4
    assert payload.data_digest({}) is None
    short = payload.data_digest({"data_digest": {"train": "ab" * 32, "test": "cd" * 32}})
    assert short is not None
    assert len(short) == 8
    assert set(short) <= set("0123456789abcdef")


def test_the_user_interface_binds_to_loopback(records):
    command = ui_command(records, port=5123)
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[command.index("--port") + 1] == "5123"
    assert f"sqlite:///{records}/mlflow.db" in command


def test_what_a_target_cost_is_told(tmp_path):
    spec = parse_spec(
        {
            "experiment": "tests",
            "workload": {"name": "synthetic-blobs"},
            "optimizer": {"method": "Adam"},
            "budget": {"samples": 128, "target": {"metric": "val_loss", "value": 100.0}},
        }
    )
    assert isinstance(spec, RunSpec)
    record = load_run(run(spec, tmp_path).path)
    told = {point.key: point.value for point in payload.final_points(record)}
    assert told["target_reached"] == 1.0
    assert (told["target_epoch"], told["target_samples"]) == (0, 0)
    assert "test_accuracy" in told
