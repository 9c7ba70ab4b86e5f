"""Ending a run in an orderly way when asked to."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

from napts import exits

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)


class StopRequest:
    """Within a ``with`` block, notes SIGTERM, SIGUSR2 and Ctrl-C instead of ending the process.

    The loop checks `signal_name` between steps. Slurm sends SIGUSR2 to jobs before their time ends.
    A second Ctrl-C takes effect at once: it raises KeyboardInterrupt. Outside the main thread,
    where Python delivers no signals, nothing is installed.

    Attributes:
        signal_name: "SIGTERM", "SIGUSR2" or "SIGINT" once one has arrived, None before.
    """

    def __init__(self) -> None:
        self.signal_name: str | None = None
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._previous[number] = signal.signal(number, self._note)
            exits.watch(1)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        if self._previous:
            exits.watch(-1)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal_name is not None and number == signal.SIGINT:
            raise exits.CtrlC
        self.signal_name = self.signal_name or signal.Signals(number).name
