"""Functions that call a network, through `torch.compile`: as a whole or not at all."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FunctionType
from typing import Any, cast

import torch
from torch import Tensor, nn

BACKEND = "inductor"
"""The compiler; tests put a quicker one here."""


def compiled(function: Callable[..., Any], *, generate: bool = True) -> Callable[..., Any]:
    """Return a function that is compiled when it is first called, and anew for other shapes.

    What cannot be compiled in one piece is an error, and code for shapes in general is never made:
    what is computed for a shape does not depend on which ones came before. Random numbers are those
    of the function itself.

    Args:
        function: A plain function. Modules that it calls should be its arguments, since torch keeps
            what it has compiled as long as the function returned here.
        generate: Whether to generate code, which takes its time, rather than only to find out
            whether it can be.
    """
    backend = BACKEND if generate else "eager"
    options: Any = {"fallback_random": True} if backend == "inductor" else None
    return torch.compile(
        _own(function), fullgraph=True, dynamic=False, backend=backend, options=options
    )


def _own(function: Any) -> FunctionType:
    """Return a copy of a function with a code object of its own.

    By code object, torch counts how often it has compiled, up to a limit, and keeps what it has
    compiled as long as the object lives.
    """
    function = cast(FunctionType, function)
    return FunctionType(function.__code__.replace(), function.__globals__, function.__name__)


class Outermost(nn.Module):
    """Calls a function of a network that may be compiled.

    Optimizers watch which modules are called, to keep their buffers, until they have seen the
    outermost one, which contains all others. That is this one, so the compiled function finds no
    hooks.

    Args:
        model: The network.
        function: Called with the arguments of the module.
    """

    def __init__(self, model: nn.Module, function: Callable[..., Any]) -> None:
        super().__init__()
        self.model = model
        self._function = function

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the function returns."""
        return self._function(*args, **kwargs)


@contextmanager
def explained(option: str, what: str) -> Iterator[None]:
    """Say in one line what the compiler refuses; all other errors pass.

    Args:
        option: The option that asks for it.
        what: What is compiled.

    Raises:
        ValueError: In place of an error of the compiler.
    """
    try:
        yield
    except Exception as error:
        kind = type(error)
        if not kind.__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        said = " ".join(str(error).split("\n")[:2])
        if "RecompileLimit" in kind.__name__:
            said = "it is called with more different shapes than torch compiles a function for"
        raise ValueError(
            f"{option}: found true, allowed: false, since torch cannot compile {what}: {said}"
        ) from error


def differentiated_once(tensor: Tensor, option: str, what: str) -> None:
    """Refuse second derivatives through a tensor with one clear error.

    Args:
        tensor: What something compiled returned.
        option: The option that asks for compilation.
        what: What is compiled.

    Raises:
        ValueError: Later, if a backward pass from the tensor is to be differentiated again.
    """
    if tensor.requires_grad:
        tensor.register_hook(partial(_check_once, option, what))


def _check_once(option: str, what: str, _gradient: Tensor) -> None:
    if torch.is_grad_enabled():
        raise ValueError(
            f"{option}: found true, allowed: false with methods that take second derivatives by "
            f"the parameters, which {what} does not have"
        )
