"""Interception: for a while, calls of some modules go through functions of ours."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

from torch import nn

Call = Callable[..., Any]
Watcher = Callable[[Call, tuple[Any, ...], dict[str, Any]], Any]
"""Replaces a call: takes what would be called, with its arguments, and returns the outputs."""


class Outside:
    """A callable around a module's calls that stays outside of all watchers.

    It is the module's ``_compiled_call_impl``, calls its ``_call_impl`` and knows by
    :func:`is_watched` whether its layers have to be called one by one. Copies and pickles of the
    module do not have it.
    """


_ABSENT = object()
_NAMES = ("_call_impl", "_compiled_call_impl")
_around: WeakSet[Call] = WeakSet()


@contextmanager
def intercepted(watchers: Mapping[nn.Module, Watcher]) -> Iterator[None]:
    """While this is open, this thread's calls of these modules go through their watchers.

    A watcher is outside the module's hooks: they see the arguments that it passes on, and it sees
    the outputs as the caller would. Afterwards the modules are as they were before.
    """
    thread, undo = threading.get_ident(), []
    try:
        for module, watcher in watchers.items():
            undo.append(_replace(module, watcher, thread))
        yield
    finally:
        for own, name, before in reversed(undo):
            if before is _ABSENT:
                own.pop(name, None)
            else:
                own[name] = before


def is_watched(model: nn.Module) -> bool:
    """Tell whether calls of a network, or of a module in it, currently go through a watcher."""
    return any(m.__dict__.get(name) in _around for m in model.modules() for name in _NAMES)


def _replace(module: nn.Module, watcher: Watcher, thread: int) -> tuple[dict[str, Any], str, Any]:
    # What nn.Module.__call__ looks up; an attribute of the instance comes first.
    outermost = module._compiled_call_impl
    compiled = outermost is not None and not isinstance(outermost, Outside)
    name = "_compiled_call_impl" if compiled else "_call_impl"
    original: Call = getattr(module, name)

    def around(*args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() != thread:
            return original(*args, **kwargs)
        return watcher(original, args, kwargs)

    _around.add(around)
    before = module.__dict__.get(name, _ABSENT)
    module.__dict__[name] = around
    return module.__dict__, name, before
