"""The command line in forked children, which are watched and can be disturbed.

The parent has imported everything and never trains, so that a child costs a few hundredths of a
second and no thread is lost in the fork.
"""

import atexit
import contextlib
import gc
import ipaddress
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parents[2]

Disturb = Callable[[], None]

_LIMIT_S = 120.0
_MEMORY = 8 << 30
_POLL_S = 0.002

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Events of Python's audit hooks by which files change, and which of their arguments are paths.
_CHANGES: Mapping[str, tuple[int, ...]] = {
    "os.mkdir": (0,),
    "os.remove": (0,),
    "os.rmdir": (0,),
    "os.rename": (0, 1),
    "os.link": (1,),
    "os.symlink": (1,),
    "os.truncate": (0,),
    "os.chmod": (0,),
    "sqlite3.connect": (0,),
}
_FREE = ("/dev/null", "/dev/tty", "/dev/shm")


@dataclass(frozen=True)
class Ended:
    """How a child ended.

    Attributes:
        code: Exit code; negative for the signal that killed it; None for one that did not end.
        out: Its standard output.
        err: Its standard error.
        breaches: What it wrote outside of what it was given, and sockets beyond loopback.
        seconds: Its wall time.
    """

    code: int | None
    out: str
    err: str
    breaches: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def crashed(self) -> bool:
        """Whether it ended with a traceback or by a signal that nobody sent, or not at all."""
        return "Traceback (most recent" in self.err + self.out or self.code is None

    def said(self) -> str:
        """Return how it ended in one short line."""
        lines = [line for line in self.err.strip().splitlines() if line.strip()]
        last = lines[-1] if lines else ""
        return f"exit {self.code}, {len(lines)} lines: {last[:160]!r}"


_OF_COMMANDS = (
    *("mlflow", "torch._dynamo", "napts.cli.commands", "napts.console", "napts.experiment"),
    *("napts.launch.submit", "napts.papers.claims", "napts.plotting", "napts.tracking"),
)
"""What commands import while they run."""


def warm_up() -> None:
    """Import what commands import, so that children need not."""
    sys.dont_write_bytecode = True
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    caches = tempfile.mkdtemp(prefix="napts-campaign-mpl-")
    atexit.register(shutil.rmtree, caches, ignore_errors=True)
    os.environ["MPLCONFIGDIR"] = caches
    for module in _OF_COMMANDS:
        import_module(module)
    import torch

    torch.set_num_threads(1)
    gc.collect()
    gc.freeze()  # so that children do not copy pages just to count references


def napts(
    arguments: Iterable[str | Path],
    folder: Path,
    *,
    writable: Iterable[Path] = (),
    disturb: Disturb | None = None,
    kill: tuple[float, int] | None = None,
    limit_s: float = _LIMIT_S,
) -> Ended:
    """Run the command line in a child.

    Args:
        arguments: As on the command line.
        folder: Working directory, and where its output is kept meanwhile.
        writable: Where it may write.
        disturb: Called in the child before the command.
        kill: Seconds after which it is sent a signal, and the signal.
        limit_s: Longest wall time, after which it is killed and counts as hanging.
    """
    with tempfile.TemporaryDirectory(prefix="napts-campaign-child-") as notes:
        watch = _Watch(Path(notes) / "breaches", [*writable, Path(notes)])
        begin = time.monotonic()
        pid = os.fork()
        if pid == 0:
            _child([str(a) for a in arguments], folder, Path(notes), watch, disturb)
        code = _wait(pid, kill, limit_s)
        seconds = time.monotonic() - begin
        return Ended(
            code, _read(notes, "out"), _read(notes, "err"), watch.found(), round(seconds, 3)
        )


def _read(folder: str, name: str) -> str:
    path = Path(folder) / name
    return path.read_bytes().decode(errors="replace") if path.exists() else ""


def _wait(pid: int, kill: tuple[float, int] | None, limit_s: float) -> int | None:
    begin = time.monotonic()
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        elapsed = time.monotonic() - begin
        if kill is not None and elapsed >= kill[0]:
            os.kill(pid, kill[1])
            kill = None
        if elapsed >= limit_s:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return None
        time.sleep(_POLL_S)


def _child(
    arguments: list[str], folder: Path, notes: Path, watch: "_Watch", disturb: Disturb | None
) -> NoReturn:
    code = 70
    try:
        os.chdir(folder)
        for number, name in ((1, "out"), (2, "err")):
            descriptor = os.open(notes / name, os.O_WRONLY | os.O_CREAT, 0o600)
            os.dup2(descriptor, number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.stdout, sys.stderr = (os.fdopen(n, "w", closefd=False) for n in (1, 2))
        os.environ |= {"HOME": str(notes), "TMPDIR": str(notes), "COLUMNS": "200"}
        os.environ["PYTHONPATH"] = str(ROOT)  # of processes that it starts
        tempfile.tempdir = None
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGINT, signal.default_int_handler)
        watch.begin()
        if disturb is not None:
            disturb()
        code = _program(arguments)
    except BaseException:
        traceback.print_exc()
    finally:
        _flush()
        os._exit(code)


def _program(arguments: list[str]) -> int:
    """Run the program as the interpreter would; return its exit code."""
    from napts.cli import program

    sys.argv = ["napts", *arguments]
    try:
        program()
    except SystemExit as end:
        if isinstance(end.code, int) or end.code is None:
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        return 1
    return 0


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


class _Watch:
    """Notes what a child changes outside of where it may, and whom it talks to."""

    def __init__(self, log: Path, writable: Iterable[Path]) -> None:
        self._log = log
        self._writable = [os.path.realpath(path) for path in writable] + list(_FREE)
        self._descriptor = -1

    def begin(self) -> None:
        """Watch this process until it ends."""
        self._descriptor = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._write = os.write  # which a test may disturb
        sys.addaudithook(self._hear)

    def found(self) -> list[str]:
        """Return what the child did that it should not have."""
        text = self._log.read_text(errors="replace") if self._log.exists() else ""
        return list(dict.fromkeys(text.splitlines()))

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITING:
                self._changed("open", path)
        elif event in _CHANGES:
            if event in ("os.remove", "os.rmdir", "os.mkdir") and arguments[-1] not in (-1, None):
                return  # relative to a folder that is being removed
            for index in _CHANGES[event]:
                self._changed(event, arguments[index])
        elif event in ("socket.connect", "socket.bind", "socket.sendto"):
            self._talked(event, arguments[1])
        elif event == "socket.getaddrinfo":
            self._talked(event, (arguments[0],))

    def _changed(self, how: str, path: Any) -> None:
        if isinstance(path, int) or path is None:
            return
        real = os.path.realpath(os.fsdecode(path))
        if not any(real == place or real.startswith(f"{place}/") for place in self._writable):
            self._note(f"{how} {real}")

    def _talked(self, how: str, address: Any) -> None:
        if not isinstance(address, tuple):
            return  # a socket in the file system
        host = address[0].decode() if isinstance(address[0], bytes) else address[0]
        if host in (None, "localhost"):
            return
        try:
            safe = ipaddress.ip_address(host).is_loopback
        except ValueError:
            safe = False
        if not safe:
            self._note(f"{how} {host!r}")

    def _note(self, text: str) -> None:
        self._write(self._descriptor, f"{text}\n".encode(errors="replace"))
