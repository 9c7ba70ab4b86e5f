"""Tracking servers that hang, dawdle, refuse and babble, during training and afterwards."""

import http.server
import json
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from napts.records import load_run
from tests.campaign import runs
from tests.campaign.children import Ended, napts
from tests.campaign.outcome import Case, Part

_FAILED = 1
_LONGEST_LINE = 200
_TRAINING_S, _SYNC_S = 90.0, 150.0
_WATCHER_S = 180.0
"""How long a watcher may try on by itself after the training has ended."""


class _Odd(http.server.BaseHTTPRequestHandler):
    """Answers every request wrongly, in the way that is its class's attribute."""

    protocol_version = "HTTP/1.1"
    way = ""

    def do_GET(self) -> None:
        assert isinstance(self.server, _Server)
        if self.server.spent():
            os._exit(0)
        length = int(self.headers.get("Content-Length") or 0)
        if length:
            self.rfile.read(length)
        _WAYS[self.way](self)

    do_POST = do_PATCH = do_PUT = do_DELETE = do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def reply(self, code: int, body: bytes, kind: str = "application/json", **more: str) -> None:
        """Send a whole answer."""
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in more.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _hang(request: _Odd) -> None:
    time.sleep(3600)


def _slow(request: _Odd) -> None:
    time.sleep(3)
    request.reply(500, b"{}")


def _endless(request: _Odd) -> None:
    request.send_response(200)
    request.send_header("Content-Type", "application/json")
    request.end_headers()
    while True:
        request.wfile.write(b" " * 1000)
        time.sleep(0.05)


def _garbage(request: _Odd) -> None:
    request.wfile.write(random.Random(1).randbytes(5000))
    request.close_connection = True


def _reset(request: _Odd) -> None:
    request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    request.connection.close()
    request.close_connection = True


def _redirect(request: _Odd) -> None:
    request.reply(302, b"", Location=request.path)


def _lies(request: _Odd) -> None:
    """Answer politely, and with nothing of what was asked for."""
    answer = {"experiment": {"experiment_id": 1}, "runs": "none", "run": {"info": [], "data": 0}}
    request.reply(200, json.dumps(answer).encode())


def _answer(code: int, body: bytes, kind: str = "application/json") -> Callable[[_Odd], None]:
    return lambda request: request.reply(code, body, kind)


_ERROR = json.dumps(
    {"error_code": "INTERNAL_ERROR", "message": "a\nb\x1b[31m" + "x" * 5000}
).encode()
_WAYS: Mapping[str, Callable[[_Odd], None]] = {
    "hangs": _hang,
    "answers 401": _answer(401, b"You are not authenticated.", "text/plain"),
    "answers 500": _answer(500, _ERROR),
    "answers garbage": _garbage,
    "is slow": _slow,
    "answers 403": _answer(403, b"{}"),
    "answers 429": _answer(429, b"{}"),
    "answers 503": _answer(503, b"<html>out of order</html>", "text/html"),
    "answers a page": _answer(200, b"<html>hello</html>", "text/html"),
    "answers []": _answer(200, b"[]"),
    "answers deep JSON": _answer(200, b"[" * 100_000),
    "answers something else": _lies,
    "redirects to itself": _redirect,
    "resets connections": _reset,
    "never stops answering": _endless,
    "is not there": _reset,  # it is never started
}


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    left = -1

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that go away."""

    def spent(self) -> bool:
        """Tell whether this request is the one at which the server dies."""
        self.left -= 1
        return self.left == 0


@dataclass(frozen=True)
class _Prepared:
    spec: Path
    science: Mapping[str, Any]


def _prepare(folder: Path) -> _Prepared:
    spec = runs.write_toml(folder / "spec.toml", runs.spec_of("NAPTS", runs.WORKLOADS[1]))
    records = folder / "records"
    ended = napts(["run", spec, "--records", records, "--no-track"], folder, writable=[records])
    if ended.code:
        raise RuntimeError(f"undisturbed: {ended.said()}")
    return _Prepared(spec, runs.science(load_run(runs.only_run(records))))


def _start(way: str, dies_after: int) -> tuple[int | None, str]:
    """Start a server in a process of its own; return its number and its address."""
    if way == "is not there":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            return None, f"http://127.0.0.1:{free.getsockname()[1]}"
    handler = type("Handler", (_Odd,), {"way": way})
    server = _Server(("127.0.0.1", 0), handler)
    server.left = dies_after
    pid = os.fork()
    if pid == 0:
        try:
            threading.stack_size(1 << 18)
            server.serve_forever()
        finally:
            os._exit(0)
    port = server.server_address[1]
    server.server_close()
    return pid, f"http://127.0.0.1:{port}"


def _case(choice: random.Random, folder: Path, prepared: _Prepared) -> Case:
    case = Case()
    way = choice.choice(list(_WAYS))
    dies_after = choice.choice((-1, -1, -1, 2, 5))
    records = folder / "records"
    pid, uri = _start(way, dies_after)
    try:
        command = ["run", prepared.spec, "--records", records, "--tracking-uri", uri]
        trained = napts(command, folder, writable=[records], limit_s=_TRAINING_S)
        synced = napts(
            ["sync", records, "--tracking-uri", uri], folder, writable=[records], limit_s=_SYNC_S
        )
    finally:
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    case.count(f"{way}{'' if dies_after < 0 else ', then dies'}")
    case.findings += [f"training: {what}" for what in _wrong(trained, 0)]
    case.findings += [f"training: {what}" for what in runs.differences(records, prepared.science)]
    if "MLflow" not in trained.err:
        case.findings.append(f"training does not say that MLflow is behind: {trained.said()}")
    case.findings += [f"sync: {what}" for what in _wrong(synced, _FAILED)]
    lines = [line for line in synced.err.splitlines() if line.strip()]
    if len(lines) != 1:
        case.findings.append(f"sync says {len(lines)} lines: {synced.said()}")
    case.findings += _watcher(records)
    case.findings = [f"a server that {way}: {what}" for what in case.findings]
    return case


def _wrong(ended: Ended, expected: int) -> list[str]:
    found = [f"outside: {breach}" for breach in ended.breaches]
    if ended.crashed or ended.code != expected:
        found.append(f"ended oddly after {ended.seconds} s: {ended.said()}")
    longest = max((len(line) for line in ended.err.splitlines()), default=0)
    if longest > _LONGEST_LINE:
        found.append(f"a line of {longest} characters: {ended.said()}")
    return found


def _watcher(records: Path) -> list[str]:
    """Wait for the process beside the training; say what it did wrong."""
    found = []
    deadline = time.monotonic() + _WATCHER_S
    while left := [p for p in psutil.process_iter(["cmdline"]) if _watches(p, records)]:
        if time.monotonic() > deadline:
            found.append("the watcher does not end")
            for process in left:
                process.kill()
            break
        time.sleep(0.5)
    log = records / "sync.log"
    if log.exists() and "Traceback (most recent" in (text := log.read_text(errors="replace")):
        found.append(f"the watcher crashed: {text.strip().splitlines()[-1][:120]}")
    return found


def _watches(process: psutil.Process, records: Path) -> bool:
    command = process.info["cmdline"] or []
    return "napts.tracking" in command and str(records.resolve()) in command


SERVERS = Part("servers", "servers", 2, _prepare, _case)
