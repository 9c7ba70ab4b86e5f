"""Looking at the store: MLflow's own user interface on this machine."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from napts import lifeline
from napts.extras import need
from napts.tracking.store import (
    ARTIFACTS,
    ENVIRONMENT,
    checked_uri,
    shown,
    sqlite_path,
)

HOST = "127.0.0.1"
PORT = 5000

_PATIENCE_S = 10.0
"""Time for the server to end after an interrupt."""

UI_ENVIRONMENT = ENVIRONMENT | {
    # Background jobs of MLflow's evaluation features; they cost memory and are of no use here.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "PYTHONWARNINGS": "ignore",
}
"""Settings for the server process; a variable that the user has set wins."""


def ui_command(
    records_root: str | Path, tracking_uri: str | None = None, port: int = PORT
) -> list[str]:
    """Return the command that serves the store to a browser on this machine.

    Args:
        records_root: A records folder that was synced.
        tracking_uri: MLflow's address; None for the SQLite store inside the folder.
        port: TCP port, 1 to 65535.

    Returns:
        The command; it binds to the loopback address only.

    Raises:
        ValueError: ``tracking_uri`` is a server already, or ``port`` is out of range.
        FileNotFoundError: Nothing was synced into the SQLite store yet.
    """
    need("mlflow")
    uri = checked_uri(tracking_uri, records_root)
    if uri.startswith(("http://", "https://")):
        raise ValueError(f"{shown(uri)} is a server already; open it in a browser")
    if not 1 <= port <= 65535:
        raise ValueError(f"port must be between 1 and 65535, got {port}")
    database = sqlite_path(uri)
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri]
    if database is not None:
        if not database.is_file():
            raise FileNotFoundError(
                f"{database}: nothing was synced yet; run: napts sync {records_root}"
            )
        command += ["--default-artifact-root", (database.parent / ARTIFACTS).as_uri()]
    return [*command, "--host", HOST, "--port", str(port), "--workers", "1"]


def serve_ui(records_root: str | Path, tracking_uri: str | None = None, port: int = PORT) -> int:
    """Serve the store to a browser on this machine until interrupted.

    Args:
        records_root: A records folder that was synced.
        tracking_uri: MLflow's address; None for the SQLite store inside the folder.
        port: TCP port.

    Returns:
        Exit status of the server; 0 after an interrupt from the keyboard.

    Raises:
        ValueError: As for `ui_command`.
        FileNotFoundError: As for `ui_command`.
        OSError: The port is in use.
    """
    command = ui_command(records_root, tracking_uri, port)
    with socket.socket() as probe:
        # Servers set this too; without it a port would count as in use for a minute after one ends.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise OSError(f"port {port} is in use; choose another with --port") from None
    tied = lifeline.tied(command)
    process = lifeline.start(tied, "at once", env={**UI_ENVIRONMENT, **os.environ})
    try:
        return process.wait()
    except KeyboardInterrupt:
        os.killpg(process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE_S)
        return 0
    finally:
        if process.poll() is None:
            lifeline.end_session(process)
            process.wait()
        lifeline.let_go(process)
