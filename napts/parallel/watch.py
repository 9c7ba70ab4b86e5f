"""Noticing that another rank is gone, and saying which one."""

import json
import os
import socket
import sys
import threading
import time
import traceback
from types import TracebackType
from typing import Self

import torch.distributed as dist

from napts.exits import raised

BEAT_S = 1.0
"""Seconds between signs of life."""

SILENCE_S = 30.0
"""A rank on another machine that has been silent for this long is presumed dead."""

GRACE_S = 10.0
"""Time for the main thread to notice on its own before the process is ended."""

EXIT_CODE = 1


class RankLost(RuntimeError):
    """Another rank has died or failed; the message names it.

    Attributes:
        failed: Whether it ended with an exception of its own, which would happen again.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.failed = " failed: " in message


class Watch:
    """Within a ``with`` block, gives signs of life and watches for those of the other ranks.

    A thread beats every second. If another rank is lost, the main thread usually notices at once,
    through an error of the collective that it waits for, and calls :meth:`who_is_lost`. If it hangs
    instead, the thread ends the process after a while, with the same message.

    Args:
        store: The ranks' common store.
        rank: Index of this rank.
        size: Number of ranks.
        silence_s: Seconds without a sign of life after which a rank is presumed dead.
        grace_s: Seconds that the main thread has to leave the block after that.
    """

    def __init__(
        self,
        store: dist.Store,
        rank: int,
        size: int,
        *,
        silence_s: float = SILENCE_S,
        grace_s: float = GRACE_S,
    ) -> None:
        self._store, self._rank = store, rank
        self._others = [other for other in range(size) if other != rank]
        self._silence_s, self._grace_s = silence_s, grace_s
        self._ended = threading.Event()
        self._lost: str | None = None
        self._seen: dict[int, tuple[bytes, float]] = {}
        self._thread = threading.Thread(target=self._run, name="napts-watch", daemon=True)

    def __enter__(self) -> Self:
        about = {"pid": os.getpid(), "host": socket.gethostname()}
        self._store.set(f"about/{self._rank}", json.dumps(about))
        self._beat()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join(self._grace_s)
        how = "ended"
        if error is not None and not isinstance(error, RankLost):
            text = "".join(traceback.format_exception_only(raised(error))).strip().splitlines()
            how = f"failed: {text[-1] if text else type(error).__name__}"
        try:
            self._store.set(f"end/{self._rank}", how)
        except (RuntimeError, OSError):
            return  # whoever held the store has left already

    def who_is_lost(self) -> str | None:
        """Return which rank is lost and how, or None if all are there.

        Waits until it is certain: as long as it takes to presume a silent rank dead.
        """
        deadline = time.monotonic() + self._silence_s + 2 * BEAT_S
        while self._lost is None and time.monotonic() < deadline:
            self._look()
            if self._lost is None:
                time.sleep(BEAT_S / 4)
        return self._lost

    def _run(self) -> None:
        while not self._ended.wait(BEAT_S):
            self._beat()
            self._look()
            if self._lost is not None and not self._ended.wait(self._grace_s):
                print(f"napts: rank {self._rank}: {self._lost}", file=sys.stderr, flush=True)
                os._exit(EXIT_CODE)

    def _beat(self) -> None:
        try:
            self._store.set(f"beat/{self._rank}", str(time.monotonic_ns()))
        except (RuntimeError, OSError):
            self._lost = self._lost or "rank 0 is lost: it no longer answers"

    def _look(self) -> None:
        for other in self._others:
            try:
                found = self._state_of(other)
            except (RuntimeError, OSError):
                found = "rank 0 is lost: it no longer answers"
            if found is not None:
                self._lost = self._lost or found
                return

    def _state_of(self, other: int) -> str | None:
        """Return what is wrong with a rank, or None."""
        if self._store.check([f"end/{other}"]):
            how = self._store.get(f"end/{other}").decode()
            return None if how == "ended" else f"rank {other} {how}"
        if not self._store.check([f"about/{other}", f"beat/{other}"]):
            return None  # still on its way
        about = json.loads(self._store.get(f"about/{other}"))
        name = f"rank {other} (process {about['pid']} on {about['host']})"
        if about["host"] == socket.gethostname() and not _is_alive(about["pid"]):
            return f"{name} died"
        beat, now = self._store.get(f"beat/{other}"), time.monotonic()
        if self._seen.get(other, (b"", 0.0))[0] != beat:
            self._seen[other] = beat, now
        silent = now - self._seen[other][1]
        return f"{name} has been silent for {silent:.0f} s" if silent > self._silence_s else None


def _is_alive(pid: int) -> bool:
    """Return whether a process on this machine exists and has not ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
    except OSError:
        return True
