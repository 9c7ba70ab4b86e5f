"""User code that tries to end the process: treated as an error in that code, like any other.

``sys.exit()`` in a loss, ``raise KeyboardInterrupt`` in a data set and the like do not raise an
:class:`Exception`. Left alone, they end the program silently and leave its run marked "running".
Ctrl-C remains what it is: an interruption.
"""

import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import NoReturn, TypeVar

T = TypeVar("T")

_watches = 0
"""Handlers in place that make Ctrl-C raise :class:`CtrlC`; nothing else raises it."""


class CtrlC(KeyboardInterrupt):
    """The user has pressed Ctrl-C, rather than some code having raised KeyboardInterrupt."""


class CodeExit(Exception):
    """The user's code raised something meant to end the process; the cause says what."""


class Contained:
    """Within a ``with`` block, anything meant to end the process becomes a :class:`CodeExit`.

    Ctrl-C passes through, and so does any KeyboardInterrupt that cannot be told from Ctrl-C:
    outside `catching_ctrl_c` and `napts.experiment.signals.StopRequest`.

    Raises:
        CodeExit: The block has raised SystemExit, GeneratorExit or the like.
    """

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None or isinstance(error, (Exception, CtrlC)):
            return
        if isinstance(error, KeyboardInterrupt) and not _watches:
            return
        text = " ".join(str(error).split())
        said = f"{type(error).__name__}: {text}" if text else type(error).__name__
        raise CodeExit(said).with_traceback(trace) from error


contained = Contained()
"""The only instance: it has no state."""


def each(items: Iterable[T]) -> Iterator[T]:
    """Iterate over what the user's code yields, and contain that code.

    Args:
        items: What to iterate over.

    Raises:
        CodeExit: See `Contained`.
    """
    with contained:
        iterator = iter(items)
    while True:
        with contained:
            try:
                item = next(iterator)
            except StopIteration:
                return
        yield item


@contextmanager
def guarded() -> Iterator[None]:
    """Contain code that runs outside a run, such as a module that is being imported.

    Raises:
        CodeExit: See `Contained`.
    """
    with catching_ctrl_c(), contained:
        yield


@contextmanager
def catching_ctrl_c() -> Iterator[None]:
    """Let Ctrl-C raise :class:`CtrlC` where it would raise KeyboardInterrupt."""
    here = threading.current_thread() is threading.main_thread()
    if not here or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, _raise)
    watch(1)
    try:
        yield
    finally:
        watch(-1)
        if signal.getsignal(signal.SIGINT) is _raise:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def watch(change: int) -> None:
    """Count the handlers in place.

    Args:
        change: 1 for a handler put in place, -1 for one taken away.
    """
    global _watches
    _watches += change


def _raise(number: int, frame: FrameType | None) -> NoReturn:
    raise CtrlC


def raised(error: BaseException) -> BaseException:
    """Return what the user's code raised.

    Args:
        error: An error, which may be a :class:`CodeExit` or a :class:`CtrlC`.
    """
    if isinstance(error, CtrlC):
        return KeyboardInterrupt().with_traceback(error.__traceback__)
    cause = error.__cause__ if isinstance(error, CodeExit) else None
    return cause or error
