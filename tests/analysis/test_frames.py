"""Frames: every run is there, derived columns are right, labels never mix settings."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks.made_runs import FIRST_START, Row, write_run
from napts.analysis import epochs_frame, load_collection, runs_frame
from napts.records import RecordError, load_run


def test_derived_columns_per_batch(tmp_path: Path) -> None:
    def change(row: Row) -> Row:
        trained = row["epoch"] > 0
        work = {"forwards": 9, "backwards": 6, "local_passes": 12} if trained else {}
        rejected = {"rejections": 5, "rejections_global": 4} if trained else {}
        return {**row, **work, **rejected, "accepted": 2 if trained else 0, "train_seconds": 2.0}

    frame = epochs_frame([load_run(write_run(tmp_path, epochs=2, batches=3, change=change))])
    assert frame["epoch"].tolist() == [0, 1, 2]
    assert math.isnan(frame["rejections_per_batch"][0])
    row = frame.iloc[2]
    assert row["rejections_per_batch"] == pytest.approx(5 / 3)
    assert row["rejections_global_per_batch"] == pytest.approx(4 / 3)
    assert row["acceptance_rate"] == pytest.approx(2 / 3)
    assert row["local_passes_per_batch"] == 4
    assert row["pass_equivalents"] == pytest.approx(9 / 3 + 6 * 2 / 3 + 12)
    assert frame["pass_equivalents_total"].tolist() == pytest.approx([0, 19, 38])
    assert frame["train_seconds_total"].tolist() == pytest.approx([0, 2, 4])


def test_median_seconds_leave_out_the_first_epoch(tmp_path: Path) -> None:
    def change(row: Row) -> Row:
        return {**row, "train_seconds": {1: 50.0, 2: 1.0, 3: 3.0}.get(row["epoch"], 0.0)}

    three = load_run(write_run(tmp_path, seed=0, epochs=3, change=change))
    two = load_run(write_run(tmp_path, seed=1, epochs=2, change=change))
    assert runs_frame([three])["seconds_per_epoch"].tolist() == [2.0]
    assert runs_frame([two])["seconds_per_epoch"].tolist() == [25.5]


@pytest.mark.parametrize("state", ["failed", "diverged", "interrupted", "running"])
def test_unfinished_runs_stay_without_final_values(tmp_path: Path, state: str) -> None:
    run = load_run(write_run(tmp_path, state=state, epochs=10, epochs_done=4))
    row = runs_frame([run]).iloc[0]
    assert (row["state"], row["epochs_done"], row["epochs_planned"]) == (state, 4, 10)
    assert math.isnan(row["final_val_accuracy"])
    assert row["seconds_per_epoch"] > 0


def test_a_run_without_a_finished_epoch_stays(tmp_path: Path) -> None:
    run = load_run(write_run(tmp_path, state="failed", epochs_done=0, change=lambda row: None))
    frame = runs_frame([run])
    assert frame["state"].tolist() == ["failed"]
    assert np.isnan(frame["forwards_per_batch"]).all()
    assert epochs_frame([run]).empty


def test_lost_losses_and_infinite_losses_are_told_apart(tmp_path: Path) -> None:
    def change(row: Row) -> Row:
        return {**row, "train_loss": "inf" if row["epoch"] == 2 else None}

    frame = epochs_frame([load_run(write_run(tmp_path, epochs=2, change=change))])
    assert math.isnan(frame["train_loss"][1])
    assert math.isinf(frame["train_loss"][2])


def test_superseded_rows_do_not_count_twice(tmp_path: Path) -> None:
    resumed = {**FIRST_START, "attempt": 2, "resumed_from_epoch": 1, "resumed_from_step": 0}
    path = write_run(tmp_path, epochs=3, restarts=[FIRST_START, resumed])
    rows = (path / "epochs.jsonl").read_text().splitlines()
    again = [json.dumps({**json.loads(row), "attempt": 2}) for row in rows[2:]]
    (path / "epochs.jsonl").write_text("\n".join([*rows, *again]) + "\n")
    frame = epochs_frame([load_run(path)])
    assert frame["epoch"].tolist() == [0, 1, 2, 3]


def test_methods_come_in_their_usual_order(tmp_path: Path) -> None:
    methods = ("SGD", "NAPTS", "Adam", "TR")
    runs = [load_run(write_run(tmp_path, method=m, seed=s)) for s in (1, 0) for m in methods]
    frame = runs_frame(runs)
    pairs = list(zip(frame["label"], frame["seed"], strict=True))
    expected = [(m, s) for m in ("TR", "NAPTS", "Adam", "SGD") for s in (0, 1)]
    assert pairs == expected


def test_equal_labels_with_other_settings_are_kept_apart(tmp_path: Path) -> None:
    runs = [
        load_run(write_run(tmp_path, seed=seed, options={"window": window}))
        for window in (5, 10)
        for seed in (0, 1)
    ]
    runs.append(load_run(write_run(tmp_path, method="TR")))
    frame = runs_frame(runs)
    assert list(dict.fromkeys(frame["label"])) == ["TR", "NAPTS [window=5]", "NAPTS [window=10]"]


def test_runs_with_other_passes_are_kept_apart(tmp_path: Path) -> None:
    """Their times are not times of the same thing."""
    runs = [load_run(write_run(tmp_path, method="TR", seed=seed)) for seed in range(3)]
    for run, execution in zip(runs, [{}, {"compile": True}, {"compile": False}], strict=True):
        run.spec["execution"] = {"threads": 1, **execution}
    labels = runs_frame(runs)["label"].tolist()
    assert labels == ["TR [compile=false]", "TR [compile=false]", "TR [compile=true]"]


def test_collection_has_a_section_per_experiment_and_workload(tmp_path: Path) -> None:
    write_run(tmp_path, experiment="a", workload="mnist-fcnn")
    write_run(tmp_path, experiment="b", workload="mnist-fcnn")
    write_run(tmp_path, experiment="b", workload="digits-cnn")
    collection = load_collection(tmp_path)
    slugs = [section.slug for section in collection.sections]
    assert slugs == ["a-mnist-fcnn", "b-mnist-fcnn", "digits-cnn"]
    assert len(collection.records) == 3


def test_digest_follows_the_numbers_and_not_the_folder(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_run(tmp_path / name)
    write_run(tmp_path / "three", change=lambda row: {**row, "val_loss": 0.5})
    digests = [
        load_collection(tmp_path / name).sections[0].digest for name in ("one", "two", "three")
    ]
    assert digests[0] == digests[1] != digests[2]


def test_an_empty_folder_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="no run directories here"):
        load_collection(tmp_path)
