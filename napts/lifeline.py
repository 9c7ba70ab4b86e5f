"""Processes that end with the one that started them, even if that is killed or crashes.

A child's standard input is a pipe whose other end only its parent holds, for as long as it lives.
A thread of the child waits for that pipe to close; it costs nothing and works on every platform.
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
"""How a child ends: as with SIGKILL, or as with SIGTERM, which lets it finish writing."""

PATIENCE_S = 120.0
"""Seconds that a child has to end in an orderly way."""

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
    """Start a process that ends with this one; it must call `follow` first.

    Its standard input is empty. It runs in a session of its own, so that Ctrl-C does not reach it
    and everything it starts ends with it.

    Args:
        command: The program and its arguments.
        manner: How it ends when this process does.
        cwd: Its working directory; None for that of this process.
        env: Its environment variables; None for those of this process.
        stdout: Its standard output; None for that of this process.
        stderr: Its standard error, likewise.

    Returns:
        The process. It lives only as long as this object's ``stdin`` is open: see `let_go`.
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
    """Close this end of the pipe, to end a process or after it has ended.

    Args:
        process: The process from `start`.
    """
    if process.stdin is not None:
        process.stdin.close()


def tied(command: Sequence[str]) -> list[str]:
    """Return a command that runs a module unaware of lifelines, and makes it follow.

    Args:
        command: A Python with ``-m``, the module, and its arguments.
    """
    python, option, *module = command
    if option != "-m":
        raise ValueError(f"found {option!r} after the interpreter, allowed: -m")
    return [python, "-m", "napts.lifeline", *module]


def follow() -> None:
    """Make this process end with its parent, if the parent started it with `start`.

    Best called before anything slow. Afterwards standard input is empty.
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
