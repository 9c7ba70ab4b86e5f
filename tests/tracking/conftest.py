"""Run directories as the records contract describes them, and MLflow stores to import them into."""

import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from napts.tracking.store import SQLITE_PREFIX, Store, default_tracking_uri, quiet
from napts.tracking.ui import UI_ENVIRONMENT

START = 1_700_000_000.0
EPOCH_S = 10.0


class RunDirectory:
    """Writes one run directory by and by, as a training would."""

    def __init__(self, root: Path, experiment: str, method: str, seed: int, **spec: Any) -> None:
        self.key = f"{method.lower()}-s{seed}-0123456789"
        self.path = root / experiment / self.key
        self.path.mkdir(parents=True)
        self.method = method
        self.attempt = 0
        self.finished = 0
        self.write(
            "spec.json",
            {
                "schema": 1,
                "run_key": self.key,
                "experiment": experiment,
                "label": method,
                "spec": {
                    "experiment": experiment,
                    "seed": seed,
                    "workload": {"name": "digits-cnn"},
                    "optimizer": {"method": method, "window": 5, "radius": None},
                    "budget": {"epochs": 3, "batch_size": 100},
                    **spec,
                },
            },
        )
        self.write(
            "environment.json",
            {
                "git_revision": "f" * 40,
                "git_dirty": False,
                "hostname": "trainer",
                "data_digest": "ab" * 32,
            },
        )

    def write(self, name: str, value: dict[str, Any]) -> None:
        (self.path / name).write_text(json.dumps(value))

    def append(self, name: str, row: dict[str, Any]) -> None:
        with (self.path / name).open("a") as file:
            file.write(json.dumps(row) + "\n")

    def begin(self, resumed_from: int | None = None) -> "RunDirectory":
        """Start an attempt; ``resumed_from`` is the last epoch that the checkpoint held."""
        self.attempt += 1
        self.finished = resumed_from or 0
        row = {"attempt": self.attempt, "time": START + 1000 * (self.attempt - 1)}
        row |= {"pid": 1, "hostname": "trainer", "resumed_from_epoch": resumed_from}
        self.append("restarts.jsonl", row | {"resumed_from_step": 0, "reason": None})
        self.status("running")
        return self

    def epoch(self, epoch: int, **columns: Any) -> "RunDirectory":
        batches = 4 if epoch else 0
        row = {
            "attempt": self.attempt,
            "epoch": epoch,
            "batches": batches,
            "train_loss": 2.0 / epoch if epoch else None,
            "val_loss": 2.5 / (1 + epoch),
            "val_accuracy": 0.9 - 0.5 / (1 + epoch),
            "train_seconds": 8.0 if epoch else 0.0,
            "eval_seconds": 1.0,
            "checkpoint_seconds": 0.5,
            "logging_seconds": 0.5,
            "cpu_seconds": 6.0 if epoch else 0.0,
            "wall_seconds": EPOCH_S,
            "elapsed_seconds": EPOCH_S * (1 + epoch),
            "rejections": 6 if epoch else 0,
            "rejections_proposal": 3 if epoch else 0,
            "rejections_correction": 2 if epoch else 0,
            "rejections_global": 1 if epoch else 0,
            "forwards": 3 * batches,
            "backwards": 2 * batches,
            "local_passes": 4 * batches,
            "accepted": 3 if epoch else 0,
            "nonmonotone": 1 if epoch else 0,
            "radius": 0.1,
            "peak_memory_mb": 300.0,
            "time": START + 1000 * (self.attempt - 1) + EPOCH_S * (1 + epoch),
        }
        self.append("epochs.jsonl", row | columns)
        self.finished = epoch
        return self

    def status(self, state: str, **columns: Any) -> "RunDirectory":
        row = {"state": state, "updated": START + 500 * self.attempt, "attempt": self.attempt}
        row |= {"epoch": self.finished, "epochs": 3, "final": None, "error": None}
        row |= {"pid": os.getpid(), "hostname": platform.node()}
        if state == "running":
            row["updated"] = time.time()
        self.write("status.json", row | columns)
        return self

    def done(self, **final: float) -> "RunDirectory":
        values = {"train_loss": 0.5, "val_loss": 0.6, "val_accuracy": 0.8}
        values |= {"test_loss": 0.7, "test_accuracy": 0.75}
        early = {} if self.finished == 3 else {"ended_by": "target"}
        return self.status("done", final=values | final, **early)

    def whole(self, epochs: int = 3) -> "RunDirectory":
        """Write an undisturbed run from beginning to end."""
        self.begin()
        for epoch in range(epochs + 1):
            self.epoch(epoch)
        return self.done()


class Mlflow:
    """Looks into a store the way a reader would, for assertions."""

    def __init__(self, uri: str) -> None:
        with quiet():
            self.store = Store(uri)
        self.client = self.store.client

    def runs(self, experiment: str = "first") -> dict[str, Any]:
        """Return the runs of directories by name, without the sweep's own."""
        found = self.client.get_experiment_by_name(experiment)
        assert found is not None
        runs = self.store.runs(found.experiment_id)
        children = [run for run in runs if "napts.run_key" in run.data.tags]
        by_name = {run.info.run_name: run for run in children}
        assert len(by_name) == len(children), "two copies of one run"
        return by_name

    def sweep(self, experiment: str = "first") -> Any:
        found = self.client.get_experiment_by_name(experiment)
        assert found is not None
        runs = self.store.runs(found.experiment_id)
        (sweep,) = [run for run in runs if "napts.sweep" in run.data.tags]
        return sweep

    def history(self, run: Any, key: str) -> list[tuple[int, float]]:
        points = self.client.get_metric_history(run.info.run_id, key)
        return sorted((point.step, point.value) for point in points)

    def everything(self, experiment: str = "first") -> dict[str, Any]:
        """Return all that the store holds about an experiment, to compare before and after."""
        found = self.client.get_experiment_by_name(experiment)
        assert found is not None
        return {
            run.info.run_id: (
                dict(run.info),
                run.data.tags,
                run.data.params,
                repr({key: self.history(run, key) for key in sorted(run.data.metrics)}),
                [item.to_dictionary() for item in run.inputs.dataset_inputs],
                [file.path for file in self.client.list_artifacts(run.info.run_id)],
            )
            for run in self.store.runs(found.experiment_id)
        }


class Server:
    """A real MLflow server on the loopback address, which can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--workers", "1"]
        command += ["--backend-store-uri", f"{SQLITE_PREFIX}{self.folder / 'server.db'}"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={**os.environ, **UI_ENVIRONMENT},
                start_new_session=True,
            )
        wait_for_http(f"{self.uri}/health", self.folder / "server.log")

    def stop(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


def wait_for_http(url: str, log: Path, timeout_s: float = 90.0) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"no answer from {url}:\n{log.read_text()}")


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An initialised SQLite store; making one takes seconds, copying it does not."""
    folder = tmp_path_factory.mktemp("template")
    with quiet():
        Store(default_tracking_uri(folder))
    return folder / "mlflow.db"


@pytest.fixture
def records(tmp_path: Path, empty_database: Path) -> Path:
    root = tmp_path / "records"
    root.mkdir()
    shutil.copy(empty_database, root / "mlflow.db")
    return root


@pytest.fixture
def make_run(records: Path) -> Callable[..., RunDirectory]:
    def make(
        method: str = "NAPTS",
        seed: int = 0,
        experiment: str = "first",
        root: Path = records,
        **spec: Any,
    ) -> RunDirectory:
        return RunDirectory(root, experiment, method, seed, **spec)

    return make


@pytest.fixture
def mlflow_of() -> Callable[[Path], Mlflow]:
    """Open the store of a records folder, or an address."""
    return lambda root: Mlflow(default_tracking_uri(root) if isinstance(root, Path) else root)


@pytest.fixture
def server(tmp_path: Path, empty_database: Path) -> Iterator[Server]:
    """A server that is not started yet."""
    folder = tmp_path / "server"
    folder.mkdir()
    shutil.copy(empty_database, folder / "server.db")
    server = Server(folder)
    yield server
    server.stop()
