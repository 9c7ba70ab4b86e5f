"""Runs of a spec in a folder, with the command line, on some ranks of this machine."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TIMES = ("seconds", "time", "attempt", "memory")


def arguments(folder: Path, ranks: int, *more: str) -> list[str]:
    command = [sys.executable, "-m", "napts.cli", "run", str(folder / "spec.toml"), "--no-track"]
    return [*command, "--records", str(folder), "--set", f"execution.ranks={ranks}", *more]


@contextmanager
def started(folder: Path, ranks: int) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        arguments(folder, ranks),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=60)


def finish(folder: Path, ranks: int) -> None:
    ended = subprocess.run(
        arguments(folder, ranks), capture_output=True, text=True, timeout=240, check=False
    )
    assert ended.returncode == 0, ended.stderr


def directory(folder: Path) -> Path:
    (found,) = (folder / "ranks").iterdir()
    return found


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    from napts.records.read import load_run

    run = load_run(directory(folder))
    found = run.epochs if name == "epochs" else run.steps
    return [{k: v for k, v in r.items() if not any(t in k for t in TIMES)} for r in found]


def status(folder: Path) -> dict[str, Any]:
    return json.loads((directory(folder) / "status.json").read_text())


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def epochs_done(folder: Path) -> int:
    try:
        return int(status(folder)["epoch"])
    except (OSError, ValueError, StopIteration):
        return 0
