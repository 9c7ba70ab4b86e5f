"""`napts ui` and the server that it starts: neither stays without the other."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.helpers.processes import is_alive, wait_until
from tests.tracking.conftest import wait_for_http


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_the_server_ends_with_the_command(
    records: Path, tmp_path: Path, number: signal.Signals
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path / "ui.log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "napts.cli", "ui", str(records), "--port", str(port)]
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        wait_for_http(f"http://127.0.0.1:{port}/health", log)
        server = psutil.Process(process.pid).children(recursive=True)
        assert server
        process.send_signal(number)
        assert process.wait(60) == (0 if number == signal.SIGINT else -number)
        wait_until(lambda: not any(is_alive(each.pid) for each in server), "the server to end")
    finally:
        process.kill()
        process.wait()
