"""Processes that end with the one that started them, whatever ends it: SIGKILL and crashes too.

A child's standard input is a pipe whose other end its parent alone holds, and keeps until it ends.
A thread of the child waits for the end of that pipe; it costs nothing and works on every platform.
"""

import contextlib
import os
import runpy
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Literal

Manner = Literal["at once", "in good order"]
"""How a child ends: as by SIGKILL, or as by SIGTERM, after which it may still write something."""

PATIENCE_S = 120.0
"""Seconds that a child has to end in good order."""

_VARIABLE = "NAPTS_LIFELINE"


def start(
    command: Sequence[str],
    manner: Manner,
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdout: IO[bytes] | int | None = None,
    stderr: IO[bytes] | int | None = None,
) -> "subprocess.Popen[bytes]":
    """Start a process that ends with this one; it has to call `follow` when it begins.

    It has nothing to read from standard input, and a session of its own, so that no Ctrl-C reaches
    it and all that it starts ends with it.

    Args:
        command: The program and its arguments.
        manner: How it ends when this process does.
        cwd: Where it begins; None for where this process is.
        env: Its variables; None for those of this process.
        stdout: Its standard output; None for that of this process.
        stderr: Its standard error, likewise.

    Returns:
        The process. It lives no longer than this object's ``stdin`` is open: see `let_go`.
    """
    return subprocess.Popen(
        list(command),
        cwd=cwd,
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=stderr,
        env={**(os.environ if env is None else env), _VARIABLE: manner},
        start_new_session=True,
    )


def let_go(process: "subprocess.Popen[bytes]") -> None:
    """Close this end of the pipe, after a process has ended or to end it.

    Args:
        process: The process from `start`.
    """
    if process.stdin is not None:
        process.stdin.close()


def tied(command: Sequence[str]) -> list[str]:
    """Return a command that runs another's module, which knows nothing of this one, and follows.

    Args:
        command: A Python with ``-m``, the module, and its arguments.
    """
    python, option, *module = command
    if option != "-m":
        raise ValueError(f"found {option!r} after the interpreter, allowed: -m")
    return [python, "-m", "napts.lifeline", *module]


def follow() -> None:
    """Let this process end with its parent, if that has started it by `start`.

    Best called before anything that takes long. Afterwards standard input is empty.
    """
    manner = os.environ.pop(_VARIABLE, None)  # what this process starts is tied to it by no pipe
    if manner is None or not stat.S_ISFIFO(os.fstat(0).st_mode):
        return
    pipe = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    threading.Thread(target=_wait, args=(pipe, manner), name="napts-lifeline", daemon=True).start()


def _wait(pipe: int, manner: str) -> None:
    while os.read(pipe, 1):
        pass
    if manner == "in good order":
        # To the main thread, so that whatever it waits for is interrupted.
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        time.sleep(PATIENCE_S)
    end_session()


def end_session(process: Any = None) -> None:
    """End a session at once, whatever its processes are doing.

    Args:
        process: The process from `start` that leads it; None for this one and what it has started.
    """
    pid = os.getpid() if process is None else process.pid
    # It leads no session, or everything in it has ended.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    if process is None:
        os._exit(128 + signal.SIGKILL)


if __name__ == "__main__":
    follow()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
