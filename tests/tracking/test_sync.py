"""Importing run directories into a real SQLite store."""

import http.server
import json
import math
import os
import platform
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from benchmarks.made_runs import write_run
from napts.records.metric import Metric
from napts.tracking import (
    SyncReport,
    TrackingUnavailable,
    attach_artifacts,
    default_tracking_uri,
    sync,
)
from napts.tracking.importer import open_importer


def test_a_finished_run_arrives_whole(records, make_run, mlflow_of):
    make_run().whole()
    assert sync(records) == SyncReport(created=1)
    mlflow = mlflow_of(records)
    run = mlflow.runs()["NAPTS seed 0"]
    assert run.info.status == "FINISHED"
    assert run.info.start_time == 1_700_000_000_000
    assert run.info.end_time == 1_700_000_500_000
    assert mlflow.history(run, "val_loss") == [(0, 2.5), (1, 1.25), (2, 2.5 / 3), (3, 0.625)]
    assert mlflow.history(run, "train_loss") == [(1, 2.0), (2, 1.0), (3, 2.0 / 3)]
    assert mlflow.history(run, "test_accuracy") == [(3, 0.75)]
    assert mlflow.history(run, "rejections_per_batch") == [(1, 1.5), (2, 1.5), (3, 1.5)]
    times = mlflow.client.get_metric_history(run.info.run_id, "val_loss")
    assert [p.timestamp for p in times] == [1_700_000_000_000 + 10_000 * n for n in (1, 2, 3, 4)]
    assert run.data.params["optimizer.window"] == "5"
    assert "optimizer.radius" not in run.data.params
    assert run.data.tags["napts.run_key"] == "napts-s0-0123456789"
    assert run.data.tags["napts.state"] == "done"
    (dataset,) = run.inputs.dataset_inputs
    assert (dataset.dataset.name, dataset.dataset.digest) == ("digits-cnn", "ab" * 4)
    files = {file.path for file in mlflow.client.list_artifacts(run.info.run_id)}
    assert files == {"spec.json", "environment.json"}
    model_metrics = [key for key in run.data.metrics if not key.startswith("system/")]
    assert len(model_metrics) <= 20
    assert run.data.metrics["system/process_cpu_utilization_percentage"] == 75.0


def test_artifacts_lie_beside_the_database(records, make_run, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    make_run().whole()
    sync(records)
    assert list((records / "mlartifacts" / "first").rglob("spec.json"))
    assert list(elsewhere.iterdir()) == []


def test_a_second_sync_changes_nothing(records, make_run, mlflow_of):
    for seed in range(2):
        make_run("NAPTS", seed).whole()
        make_run("Adam", seed).whole()
    make_run("SGD").begin().epoch(0).epoch(1, train_loss="inf").status("diverged", error="boom")
    assert sync(records).created == 5
    before = mlflow_of(records).everything()
    assert sync(records) == SyncReport(unchanged=5)
    assert mlflow_of(records).everything() == before


def test_runs_are_children_of_one_sweep_per_experiment(records, make_run, mlflow_of):
    make_run("NAPTS", experiment="first").whole()
    make_run("Adam", experiment="first").whole()
    make_run("Adam", experiment="second").whole()
    sync(records)
    mlflow = mlflow_of(records)
    for experiment, number in (("first", 2), ("second", 1)):
        sweep = mlflow.sweep(experiment)
        children = mlflow.runs(experiment).values()
        assert len(children) == number
        assert {run.data.tags["mlflow.parentRunId"] for run in children} == {sweep.info.run_id}
        assert sweep.info.status == "FINISHED"
        assert sweep.data.tags["napts.states"] == f"{number} done"


def test_a_running_run_is_extended(records, make_run, mlflow_of):
    run = make_run().begin().epoch(0).epoch(1)
    assert sync(records).created == 1
    first = mlflow_of(records).runs()["NAPTS seed 0"]
    assert first.info.status == "RUNNING"
    assert mlflow_of(records).sweep().info.status == "RUNNING"
    assert sync(records) == SyncReport(unchanged=1)
    run.epoch(2)
    assert sync(records) == SyncReport(updated=1)
    run.epoch(3).done()
    assert sync(records) == SyncReport(updated=1)
    mlflow = mlflow_of(records)
    last = mlflow.runs()["NAPTS seed 0"]
    assert last.info.run_id == first.info.run_id
    assert last.info.status == "FINISHED"
    assert [step for step, _ in mlflow.history(last, "val_loss")] == [0, 1, 2, 3]
    assert mlflow.sweep().info.status == "FINISHED"


def test_only_new_epochs_are_sent(records, make_run, monkeypatch):
    run = make_run().begin().epoch(0).epoch(1)
    importer = open_importer(records)
    importer.run_pass()
    assert importer._store is not None
    sent = []
    client = importer._store.client
    log_batch = client.log_batch

    def spy(run_id, metrics=(), **others):
        sent.extend(metric.step for metric in metrics)
        return log_batch(run_id, metrics=metrics, **others)

    monkeypatch.setattr(client, "log_batch", spy)
    importer.run_pass()
    assert sent == []
    run.epoch(2)
    importer.run_pass()
    assert set(sent) == {2}


def test_a_killed_run_does_not_stay_running_and_goes_on_when_resumed(records, make_run, mlflow_of):
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    run = make_run().begin().epoch(0).epoch(1).status("running", pid=child.pid)
    sync(records)
    killed = mlflow_of(records).runs()["NAPTS seed 0"]
    assert killed.info.status == "KILLED"
    assert killed.data.tags["napts.state"] == "killed"
    assert mlflow_of(records).sweep().info.status == "FAILED"

    run.begin(resumed_from=1).epoch(2)
    sync(records)
    resumed = mlflow_of(records).runs()["NAPTS seed 0"]
    assert resumed.info.run_id == killed.info.run_id
    assert resumed.info.status == "RUNNING"
    assert resumed.data.tags["napts.attempts"] == "2"
    run.epoch(3).done()
    sync(records)
    mlflow = mlflow_of(records)
    done = mlflow.runs()["NAPTS seed 0"]
    assert done.info.status == "FINISHED"
    assert [step for step, _ in mlflow.history(done, "val_loss")] == [0, 1, 2, 3]


def test_epochs_that_a_resumed_attempt_took_back_are_replaced(records, make_run, mlflow_of):
    run = make_run().begin().epoch(0).epoch(1).epoch(2, val_loss=7.0)
    sync(records)
    client = mlflow_of(records).client
    first = mlflow_of(records).runs()["NAPTS seed 0"]
    client.set_tag(first.info.run_id, "mlflow.note.content", "look at this one")
    client.set_tag(first.info.run_id, "reviewed", "yes")
    run.begin(resumed_from=1).epoch(2, val_loss=3.0).epoch(3).done()
    assert sync(records) == SyncReport(created=1)
    mlflow = mlflow_of(records)
    run_now = mlflow.runs()["NAPTS seed 0"]
    assert mlflow.history(run_now, "val_loss") == [(0, 2.5), (1, 1.25), (2, 3.0), (3, 0.625)]
    assert run_now.data.tags["mlflow.note.content"] == "look at this one"
    assert run_now.data.tags["reviewed"] == "yes"
    assert sync(records) == SyncReport(unchanged=1)


def test_an_error_of_an_earlier_attempt_is_forgotten(records, make_run, mlflow_of):
    run = make_run().begin().epoch(0).status("failed", error="OSError: disk full")
    sync(records)
    failed = mlflow_of(records).runs()["NAPTS seed 0"]
    assert failed.info.status == "FAILED"
    assert failed.data.tags["napts.error"] == "OSError: disk full"
    run.begin(resumed_from=0).epoch(1).epoch(2).epoch(3).done()
    sync(records)
    assert "napts.error" not in mlflow_of(records).runs()["NAPTS seed 0"].data.tags


def test_a_crash_between_creating_and_filling_leaves_no_second_copy(
    records, make_run, mlflow_of, monkeypatch
):
    make_run().whole()
    importer = open_importer(records)
    importer.run_pass()
    make_run("Adam").whole()
    assert importer._store is not None
    with monkeypatch.context() as patch:
        patch.setattr(importer._store.client, "log_batch", _raise)
        report = importer.run_pass()
    assert (report.failed, report.unchanged) == (1, 1)
    assert "cable cut" in report.problems[0]
    assert importer.run_pass().failed == 0
    mlflow = mlflow_of(records)
    assert set(mlflow.runs()) == {"NAPTS seed 0", "Adam seed 0"}
    adam = mlflow.runs()["Adam seed 0"]
    assert len(mlflow.history(adam, "val_loss")) == 4
    assert adam.data.params["optimizer.method"] == "Adam"


def _raise(*_, **__):
    raise OSError("cable cut")


@pytest.mark.parametrize(
    ("state", "expected"),
    [("diverged", "FAILED"), ("failed", "FAILED"), ("interrupted", "KILLED"), ("done", "FINISHED")],
)
def test_status(records, make_run, mlflow_of, state, expected):
    run = make_run().begin().epoch(0)
    _ = run.done() if state == "done" else run.status(state)
    sync(records)
    assert mlflow_of(records).runs()["NAPTS seed 0"].info.status == expected


def test_non_finite_losses_become_gaps_and_absent_values_nothing(records, make_run, mlflow_of):
    run = make_run("SGD").begin().epoch(0)
    run.epoch(1, train_loss="inf", val_loss="nan", radius=None, val_accuracy=None)
    run.status("diverged")
    sync(records)
    mlflow = mlflow_of(records)
    copy = mlflow.runs()["SGD seed 0"]
    ((step, loss),) = mlflow.history(copy, "train_loss")
    assert step == 1
    assert math.isnan(loss)
    assert math.isnan(mlflow.history(copy, "val_loss")[1][1])
    assert mlflow.history(copy, "val_accuracy") == [(0, 0.4)]
    assert mlflow.history(copy, "radius") == [(0, 0.1)]
    assert sync(records) == SyncReport(unchanged=1)


def test_keys_are_the_names_of_the_metrics(records, mlflow_of):
    """Whatever a problem measures arrives under its own name, and infinities as gaps."""
    path = write_run(
        records,
        experiment="first",
        metric=Metric("rmse", "min"),
        final={"test_rmse": 0.25},
        epochs=3,
        epochs_done=2,
    )
    status = json.loads((path / "status.json").read_text())
    (path / "status.json").write_text(json.dumps({**status, "epoch": 3}))
    line = (path / "epochs.jsonl").read_text().splitlines()[-1]
    last = {**json.loads(line), "epoch": 3, "val_rmse": "inf", "val_r2": -3.5}
    with (path / "epochs.jsonl").open("a") as file:
        file.write(json.dumps(last) + "\n")
    sync(records)
    metrics = mlflow_of(records).runs()["NAPTS seed 0"].data.metrics
    assert (metrics["test_rmse"], metrics["val_r2"]) == (0.25, -3.5)
    assert math.isnan(metrics["val_rmse"])
    assert "val_accuracy" not in metrics


def test_a_damaged_run_does_not_hold_up_the_others(records, make_run, mlflow_of):
    make_run("Adam").whole()
    damaged = make_run("NAPTS").whole()
    damaged.path.joinpath("spec.json").write_text("{")
    report = sync(records)
    assert (report.created, report.failed) == (1, 1)
    assert str(damaged.path) in report.problems[0]
    assert set(mlflow_of(records).runs()) == {"Adam seed 0"}


def test_equal_specs_from_two_machines_are_two_runs(records, make_run, tmp_path, mlflow_of):
    make_run().whole()
    other = make_run(root=tmp_path / "other").whole()
    restarts = other.path / "restarts.jsonl"
    restarts.write_text(restarts.read_text().replace("trainer", "second-machine"))
    uri = default_tracking_uri(records)
    assert sync(records, uri).created == 1
    assert sync(tmp_path / "other", uri).created == 1
    assert sync(records, uri).unchanged == 1
    mlflow = mlflow_of(records)
    experiment = mlflow.client.get_experiment_by_name("first")
    assert experiment is not None
    assert len(mlflow.store.runs(experiment.experiment_id)) == 3
    assert mlflow.sweep().data.tags["napts.states"] == "2 done"


@pytest.mark.parametrize("name", ["with space", "größe ü", "hash#mark"])
def test_unusual_paths(tmp_path, empty_database, make_run, mlflow_of, name):
    root = tmp_path / name / "records"
    make_run(root=root).whole()
    (root / "mlflow.db").write_bytes(empty_database.read_bytes())
    assert sync(root).created == 1
    assert sync(root).unchanged == 1
    mlflow = mlflow_of(root)
    run = mlflow.runs()["NAPTS seed 0"]
    assert len(mlflow.client.list_artifacts(run.info.run_id)) == 2
    assert list((root / "mlartifacts").rglob("environment.json"))
    assert sorted(path.name for path in (tmp_path / name).iterdir()) == ["records"]


@pytest.mark.parametrize("name", ["what?", "100%41"])
def test_paths_that_no_database_address_can_carry(tmp_path, name):
    with pytest.raises(ValueError, match="--tracking-uri"):
        default_tracking_uri(tmp_path / name)


class _Nonsense(http.server.BaseHTTPRequestHandler):
    """A server of something else: every answer is well-formed and means nothing."""

    def do_GET(self) -> None:
        body = b'{"experiment": {"experiment_id": 1}, "runs": "' + b"x" * 500 + b'"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, format, *arguments):
        pass


def test_answers_that_make_no_sense_are_told_in_one_line(records, make_run, tmp_path):
    make_run().whole()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Nonsense) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        uri = f"http://127.0.0.1:{server.server_port}"
        for action in (
            lambda: sync(records, uri),
            lambda: attach_artifacts(records, "first", [tmp_path / "figure.svg"], uri),
        ):
            with pytest.raises(TrackingUnavailable) as caught:
                action()
            assert uri in str(caught.value)
            assert len(str(caught.value).splitlines()) == 1
            assert len(f"napts: {caught.value}") <= 200
        server.shutdown()
        thread.join()


def test_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such records folder"):
        sync(tmp_path / "nowhere")


def test_many_epochs_exceed_one_request(records, make_run, mlflow_of):
    run = make_run().begin()
    for epoch in range(61):
        run.epoch(epoch)
    run.done()
    sync(records)
    mlflow = mlflow_of(records)
    copy = mlflow.runs()["NAPTS seed 0"]
    assert len(mlflow.history(copy, "val_loss")) == 61
    assert len(mlflow.history(copy, "forwards_per_batch")) == 60


def test_long_parameters_are_cut(records, make_run, mlflow_of):
    make_run(note="x" * 7000).whole()
    sync(records)
    assert mlflow_of(records).runs()["NAPTS seed 0"].data.params["note"] == "x" * 6000


def test_progress_is_told_about_every_run(records, make_run):
    for seed in range(3):
        make_run(seed=seed).whole()
    told = []
    sync(records, progress=lambda done, total, name: told.append((done, total, name)))
    assert told == [(n + 1, 3, f"NAPTS seed {n}") for n in range(3)]


def test_figures_are_attached_to_the_sweep_once(records, make_run, tmp_path, mlflow_of):
    figure = tmp_path / "comparison.svg"
    figure.write_text("<svg/>")
    make_run().whole()
    with pytest.raises(LookupError, match="sync it first"):
        attach_artifacts(records, "first", [figure])
    sync(records)
    assert attach_artifacts(records, "first", [figure])
    assert not attach_artifacts(records, "first", [figure])
    mlflow = mlflow_of(records)
    (file,) = mlflow.client.list_artifacts(mlflow.sweep().info.run_id)
    assert file.path == "comparison.svg"


def test_training_processes_do_not_load_mlflow():
    code = "import sys, napts.tracking; print('mlflow' in sys.modules)"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert run.stdout.strip() == "False"


def test_spec_artifact_is_the_file_itself(records, make_run, mlflow_of, tmp_path):
    run = make_run().whole()
    sync(records)
    mlflow = mlflow_of(records)
    copy = mlflow.runs()["NAPTS seed 0"]
    fetched = mlflow.client.download_artifacts(copy.info.run_id, "spec.json", str(tmp_path))
    assert json.loads(Path(fetched).read_text())["run_key"] == run.key


def test_the_host_of_a_living_process_is_this_one(records, make_run, mlflow_of):
    make_run().begin().epoch(0).status("running", pid=os.getpid(), hostname=platform.node())
    sync(records)
    assert mlflow_of(records).runs()["NAPTS seed 0"].info.status == "RUNNING"
