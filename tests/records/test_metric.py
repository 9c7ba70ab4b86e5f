"""What runs are measured by."""

import json
import math
from pathlib import Path

import pytest

from benchmarks.made_runs import write_run
from napts.records import RecordError, find_runs, load_packed, load_run, pack, unpack
from napts.records.layout import kind_by_name
from napts.records.metric import ACCURACY, LOSS, Metric, direction_of

RMSE, R2 = Metric("rmse", "min"), Metric("r2", "max")
ERROR = Metric("word_error", "min", fraction=True)


def test_columns_and_texts() -> None:
    assert ACCURACY.column("val") == "val_accuracy"
    assert (ACCURACY.axis, RMSE.axis, ERROR.axis) == ("accuracy / %", "rmse", "word error / %")
    assert ACCURACY.shown(0.964) == "96.40 %"
    assert RMSE.shown(-1.23456) == "-1.235"


@pytest.mark.parametrize(
    ("metric", "worst"), [(ACCURACY, 0.0), (ERROR, 1.0), (R2, -math.inf), (RMSE, math.inf)]
)
def test_the_worst(metric: Metric, worst: float) -> None:
    assert metric.worst == worst
    assert metric.better(0.5, worst)
    assert not metric.better(worst, 0.5)
    assert metric.better(worst, math.nan)
    assert not metric.better(math.nan, worst)
    assert metric.score(0.5) > metric.score(worst)


def test_targets_are_reached_in_the_metric_s_direction() -> None:
    assert R2.reaches(-0.5, -1.0)
    assert not R2.reaches(-1.5, -1.0)
    assert RMSE.reaches(0.5, 0.5)
    assert not RMSE.reaches(math.nan, math.inf)


def test_other_columns_are_to_fall() -> None:
    assert direction_of("val_r2", R2) == direction_of("final_test_r2", R2) == "max"
    assert direction_of("train_loss", R2) == direction_of("val_rmse", RMSE) == "min"
    assert direction_of("val_loss", LOSS) == "min"


@pytest.mark.parametrize(("name", "goal"), [("a b", "max"), ("", "max"), ("r2", "up")])
def test_wrong_metrics_are_refused(name: str, goal: str) -> None:
    with pytest.raises(
        ValueError, match=r"^metric.*(found 'a b'|found ''|found goal 'up'), allowed"
    ):
        Metric(name, goal)  # pyright: ignore[reportArgumentType]


def test_records_name_their_metric_and_kind(tmp_path: Path) -> None:
    write_run(tmp_path / "a", metric=RMSE, kind="tuning")
    write_run(tmp_path / "a", seed=1)
    new, old = map(load_run, find_runs(tmp_path / "a"))
    assert (new.primary, new.kind) == (RMSE, "tuning")
    assert (old.primary, old.kind) == (ACCURACY, "comparison")
    file = pack([new.path, old.path], tmp_path / "b" / "demo.runs.jsonl.gz")
    assert [(r.primary, r.kind) for r in load_packed(file)] == [
        (RMSE, "tuning"), (ACCURACY, "comparison"),
    ]  # fmt: skip
    again = [load_run(path) for path in unpack(file, tmp_path / "c")]
    assert {run.primary for run in again} == {RMSE, ACCURACY}


def test_old_records_tell_their_kind_by_name() -> None:
    assert kind_by_name("tune-digits-cnn-Adam") == "tuning"
    assert kind_by_name("calibration") == "calibration"
    assert kind_by_name("digits") == "comparison"


@pytest.mark.parametrize(
    "wrong",
    [
        {"primary": "rmse"},
        {"primary": {"name": "rmse"}},
        {"primary": {"name": "rmse", "goal": "less"}},
        {"kind": "tune"},
    ],
)
def test_a_wrong_header_is_named(tmp_path: Path, wrong: dict[str, object]) -> None:
    path = write_run(tmp_path)
    file = path / "spec.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **wrong}))
    with pytest.raises(RecordError, match=rf"spec\.json: {next(iter(wrong))}: found"):
        load_run(path)
