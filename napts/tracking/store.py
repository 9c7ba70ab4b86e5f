"""The MLflow store: where it is, how it is opened, and whether it answers."""

import gc
import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from napts.extras import need
from napts.text import LINE, one_line

SQLITE_PREFIX = "sqlite:///"
DATABASE = "mlflow.db"
ARTIFACTS = "mlartifacts"
_SCHEMES = (
    *("http", "https", "sqlite", "postgresql", "mysql", "mssql", "file"),
    *("databricks", "databricks-uc"),
)
_LONGEST_URI = 70

PING_TIMEOUT_S = 10.0

_LINE = LINE - len("napts: ")

EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
"""Makes MLflow show an experiment in its pages for training, not those for language models."""

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    # Fail soon instead of retrying for minutes: whoever imports tries again later anyway.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}
"""Settings for MLflow inside napts; a variable that the user has set wins."""


class TrackingUnavailable(ConnectionError):
    """The tracking store does not answer or cannot be opened; the message says which and why."""


def default_tracking_uri(records_root: str | Path) -> str:
    """Return the address of the SQLite store inside a records folder.

    Args:
        records_root: The records folder; it need not exist yet.

    Returns:
        ``sqlite:///<absolute path>/mlflow.db``.

    Raises:
        ValueError: The path holds ``?`` or ``%``, which a database address cannot carry safely.
    """
    path = Path(records_root).resolve() / DATABASE
    if not {"?", "%"}.isdisjoint(str(path)):
        raise ValueError(
            f"{path}: a path with '?' or '%' cannot be an SQLite address; "
            "move the records or name another store with --tracking-uri"
        )
    return f"{SQLITE_PREFIX}{path}"


def sqlite_path(tracking_uri: str) -> Path | None:
    """Return the database file behind ``tracking_uri``, or None if it is not SQLite."""
    if not tracking_uri.startswith(SQLITE_PREFIX):
        return None
    return Path(tracking_uri.removeprefix(SQLITE_PREFIX)).resolve()


def shown(tracking_uri: str) -> str:
    """Return ``tracking_uri`` without user name and password, for messages."""
    return one_line(re.sub(r"(?<=://)[^/?#]*@", "", tracking_uri, count=1), _LONGEST_URI)


def checked_uri(tracking_uri: str | None, records_root: str | Path) -> str:
    """Return the address of a store, if it is a lasting one.

    Args:
        tracking_uri: MLflow's address; None for the SQLite store inside the records folder.
        records_root: The records folder.

    Raises:
        ValueError: It is not the address of a store, or is a database in memory, which would be
            lost.
    """
    if not tracking_uri:
        return default_tracking_uri(records_root)
    scheme, separator, rest = tracking_uri.partition("://")
    known = separator and scheme.partition("+")[0] in _SCHEMES
    place = rest.partition("?")[0].removeprefix("/")
    in_memory = scheme.startswith("sqlite") and place in ("", ":memory:")
    if not known or in_memory or not rest:
        raise ValueError(
            f"--tracking-uri: found {shown(tracking_uri)}, allowed: http://HOST:PORT, "
            "sqlite:///FILE, or the address of another database"
        )
    return tracking_uri


def lock_path(records_root: Path, tracking_uri: str) -> Path:
    """Return the lock file of a store: beside an SQLite database, or in the records folder."""
    database = sqlite_path(tracking_uri)
    return database.with_name(f"{database.name}.lock") if database else records_root / "sync.lock"


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress MLflow's telemetry, migration logs and third-party deprecation warnings.

    Yields:
        Nothing; MLflow may be imported and called inside the block.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def spared_by_collector() -> Iterator[None]:
    """Exempt existing objects from Python's garbage collector within the block.

    A batch of metrics makes thousands of objects and so triggers collections, each of which visits
    the hundreds of thousands that MLflow's modules consist of. Without them, a sync needs a third
    less time.

    Yields:
        Nothing.
    """
    if gc.get_freeze_count():  # somebody else does so, and may not want an end of it
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class Store:
    """An open MLflow store.

    Call it inside `quiet`. For SQLite, the database is created on first use; hold the store's lock
    meanwhile, so that no other process finds it half made.

    Args:
        tracking_uri: Address in MLflow's form, for example ``http://127.0.0.1:5000``.

    Raises:
        TrackingUnavailable: The server does not answer, or the database cannot be opened.
        MissingExtra: MLflow is not installed.
    """

    def __init__(self, tracking_uri: str) -> None:
        need("mlflow")
        self.tracking_uri = tracking_uri
        self.check()
        from mlflow import MlflowClient

        with self.usable():
            self.client = MlflowClient(tracking_uri=tracking_uri)
            # Reading once opens the database, so that a store of another version fails here.
            self.client.search_experiments(max_results=1)

    @contextmanager
    def usable(self) -> Iterator[None]:
        """Report any failure of the store inside the block as `TrackingUnavailable`.

        Yields:
            Nothing.

        Raises:
            TrackingUnavailable: MLflow, its database or the connection raised an error, or an
                answer made no sense (MLflow may then raise anything).
        """
        try:
            yield
        except TrackingUnavailable:
            raise
        except Exception as error:
            raise self._unavailable(first_line(error)) from error

    def _unavailable(self, why: str) -> TrackingUnavailable:
        return TrackingUnavailable(one_line(f"{shown(self.tracking_uri)}: {why}", _LINE))

    def check(self) -> None:
        """Ask an HTTP server for a sign of life; other stores are checked when they are opened.

        Raises:
            TrackingUnavailable: No answer within `PING_TIMEOUT_S` seconds.
        """
        if not self.tracking_uri.startswith(("http://", "https://")):
            return
        import requests

        url = f"{self.tracking_uri.rstrip('/')}/health"
        try:
            # As a stream, because what is sent does not matter and may never end.
            requests.get(url, timeout=PING_TIMEOUT_S, stream=True).close()
        except requests.RequestException as error:
            reason = "no answer in time" if isinstance(error, requests.Timeout) else "no connection"
            raise self._unavailable(reason) from error

    def experiment_id(self, name: str) -> str:
        """Return the id of the experiment ``name``, created or restored if needed."""
        found = self.client.get_experiment_by_name(name)
        if found is None:
            return self.client.create_experiment(
                name, artifact_location=self._artifacts(name), tags=EXPERIMENT_TAGS
            )
        if found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
        return found.experiment_id

    def runs(self, experiment_id: str) -> list[Any]:
        """Return all runs of an experiment that are not deleted, as MLflow's ``Run`` objects."""
        runs: list[Any] = []
        token: str | None = None
        while True:
            page = self.client.search_runs([experiment_id], max_results=1000, page_token=token)
            runs += page
            token = page.token
            if not token:
                return runs

    def _artifacts(self, experiment: str) -> str | None:
        """Put artifacts beside an SQLite database; a server has its own place for them."""
        database = sqlite_path(self.tracking_uri)
        return (database.parent / ARTIFACTS / experiment).as_uri() if database else None


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type if it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
