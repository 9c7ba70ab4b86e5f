"""Starting the ranks of a run on this machine.

``python -m napts.parallel.launch COUNT MODULE [ARGUMENT...]`` does so for a job of a sweep.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import Any, Self

from napts import lifeline

_POLL_S = 0.05
_PATIENCE_S = 30.0
"""Time for ranks to end after they are asked to."""

_INTERRUPTED = 130
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


def start_ranks(count: int, module: str, arguments: Sequence[str]) -> int:
    """Run a module once per rank and wait for all of them.

    The ranks find one another as under torchrun, through the same variables, but in a store that
    listens only on loopback. Whatever ends this process ends them at once.

    Args:
        count: Number of ranks.
        module: Name of the module, run as with ``python -m``.
        arguments: Its arguments, the same for every rank.

    Returns:
        Exit code: 0, or the largest one of the ranks that failed; 130 after a signal.
    """
    command = [sys.executable, "-m", module, *arguments]
    with _store() as variables, _Ranks() as ranks:
        for rank in range(count):
            own = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            own |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
            ranks.start(command, {**os.environ, **variables, **own})
        return ranks.wait()


@contextmanager
def _store() -> Iterator[dict[str, str]]:
    """Keep the ranks' store, and yield the variables through which they find it."""
    from napts.parallel.store import LOOPBACK, serve

    listener = socket.create_server((LOOPBACK, 0))
    port = listener.getsockname()[1]
    store = serve(listener, timedelta(seconds=_PATIENCE_S))
    yield {
        "MASTER_ADDR": LOOPBACK,
        "MASTER_PORT": str(port),
        # There is a store already: no rank is to open one.
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "TORCH_NCCL_ASYNC_ERROR_HANDLING": os.environ.get("TORCH_NCCL_ASYNC_ERROR_HANDLING", "1"),
    }
    del store


class _Ranks:
    """The processes of the ranks.

    Within a ``with`` block, signals are passed on to them; none of them outlives the block.
    """

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[bytes]] = []
        self._codes: list[int] = []
        self._asked: float | None = None
        self._interrupted = False
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                    self._previous[number] = signal.signal(number, self._pass_on)
        return self

    def __exit__(self, *error: object) -> None:
        for process in self._running:
            lifeline.end_session(process)
            process.wait()
            lifeline.let_go(process)
        for number, handler in self._previous.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    def start(self, command: Sequence[str], variables: dict[str, str]) -> None:
        self._running.append(lifeline.start(command, "at once", env=variables))

    def wait(self) -> int:
        """Wait for all; when one has failed, the others are asked to end."""
        while self._running and not self._is_in_vain():
            for process in [each for each in self._running if each.poll() is not None]:
                self._running.remove(process)
                self._codes += [process.returncode] if process.returncode else []
                lifeline.let_go(process)
            if self._codes and self._asked is None:
                self._ask(signal.SIGTERM)
            time.sleep(_POLL_S)
        if self._interrupted:
            return _INTERRUPTED
        # A rank that was killed counts less than what the others said about it.
        return max(self._codes) if max(self._codes, default=0) > 0 else int(bool(self._codes))

    def _is_in_vain(self) -> bool:
        return self._asked is not None and time.monotonic() > self._asked + _PATIENCE_S

    def _ask(self, number: int) -> None:
        self._asked = self._asked or time.monotonic()
        for process in self._running:
            process.send_signal(number)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        self._interrupted = True
        self._ask(number)


if __name__ == "__main__":
    lifeline.follow()
    sys.exit(start_ranks(int(sys.argv[1]), sys.argv[2], sys.argv[3:]))
