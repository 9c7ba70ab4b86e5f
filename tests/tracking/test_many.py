"""Syncing many run directories: complete, told about, and with few requests."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.made_runs import write_comparison, write_run
from napts.records import find_runs, load_run
from napts.tracking import SyncReport, default_tracking_uri, sync
from napts.tracking.importer import open_importer
from napts.tracking.store import Store, quiet

RUNS, EPOCHS = 60, 3
METHODS = ("TR", "APTS", "NAPTS", "Adam", "SGD")


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts what is asked of MLflow's client, by method."""
    from mlflow import MlflowClient

    counts: Counter[str] = Counter()

    def counted(name: str) -> Callable[..., Any]:
        method = getattr(MlflowClient, name)

        def call(self: MlflowClient, *arguments: Any, **options: Any) -> Any:
            counts[name] += 1
            return method(self, *arguments, **options)

        return call

    for name in ("search_runs", "get_run", "create_run", "log_batch", "set_tag", "log_metric"):
        monkeypatch.setattr(MlflowClient, name, counted(name))
    return counts


def test_sixty_runs_arrive_and_a_second_sync_has_nothing_to_do(records, mlflow_of, requests):
    write_comparison(records, methods=METHODS, seeds=RUNS // len(METHODS), epochs=EPOCHS)
    told: list[tuple[int, int]] = []
    report = sync(records, progress=lambda done, total, name: told.append((done, total)))
    assert report == SyncReport(created=RUNS)
    assert told == [(number, RUNS) for number in range(1, RUNS + 1)]
    assert requests["create_run"] == RUNS + 1
    assert requests["log_batch"] == RUNS, "numbers, parameters and tags go together"
    assert requests["search_runs"] == 1, "none for each run"
    assert requests["get_run"] == requests["log_metric"] == 0
    runs = mlflow_of(records).runs("demo")
    for path in find_runs(records):
        record = load_run(path)
        run = runs[f"{record.label} seed {record.seed}"]
        assert run.info.status == "FINISHED"
        assert run.data.metrics["val_loss"] == record.epochs[-1]["val_loss"]
        assert run.data.params["budget.epochs"] == str(EPOCHS)
    requests.clear()
    assert sync(records) == SyncReport(unchanged=RUNS)
    assert (requests["search_runs"], requests["log_batch"], requests["create_run"]) == (1, 0, 0)


def test_more_metrics_than_fit_into_one_request(records, mlflow_of):
    write_run(records, method="NAPTS", epochs=70)
    assert sync(records) == SyncReport(created=1)
    mlflow = mlflow_of(records)
    run = mlflow.runs("demo")["NAPTS seed 0"]
    (path,) = find_runs(records)
    rows = load_run(path).epochs
    assert mlflow.history(run, "val_loss") == [(row["epoch"], row["val_loss"]) for row in rows]
    total = sum(len(mlflow.history(run, key)) for key in run.data.metrics)
    assert total > 1000
    assert run.data.metrics["val_loss"] == rows[-1]["val_loss"]


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("what", ["batch", "tags of a batch"])
def test_a_sync_that_broke_off_is_completed_without_doubles(
    records, mlflow_of, monkeypatch, what, number
):
    write_run(records, method="NAPTS", epochs=70)
    importer = open_importer(records)
    _break_at(what, number, records, importer, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        importer.run_pass()
    monkeypatch.undo()
    assert sync(records).failed == 0
    assert sync(records) == SyncReport(unchanged=1)
    mlflow = mlflow_of(records)
    run = mlflow.runs("demo")["NAPTS seed 0"]
    steps = [step for step, _ in mlflow.history(run, "val_loss")]
    assert steps == list(range(71))
    assert run.data.metrics["radius"] == mlflow.history(run, "radius")[-1][1]
    assert run.data.params["budget.epochs"] == "70"


def _break_at(
    what: str, number: int, records: Path, importer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupt the importer before its n-th batch, or before that batch's tags are written."""
    with quiet():
        store = Store(default_tracking_uri(records))
    importer._store = store
    place = store.client if what == "batch" else store.client._tracking_client.store
    name = "log_batch" if what == "batch" else "_set_tags"
    send, sent = getattr(place, name), 0

    def interrupted(*arguments: Any, **options: Any) -> Any:
        nonlocal sent
        sent += 1
        if sent == number:
            raise KeyboardInterrupt
        return send(*arguments, **options)

    monkeypatch.setattr(place, name, interrupted)
