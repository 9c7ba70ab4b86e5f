"""Local models with memory on levels: one memory for as long as a function is minimised."""

from collections.abc import Callable

from napts.optim.local_model import LocalModels
from napts.optim.multilevel.level import Function


class ForEachFunction:
    """Makes new models for each function, and keeps them while that function is minimised.

    At every descent a coarser level gets a new function, and so an empty memory; several visits of
    a W-cycle to one function share a memory.

    Args:
        make: Makes models that have seen nothing.
    """

    def __init__(self, make: Callable[[Function], LocalModels]) -> None:
        self._make = make
        self._known: tuple[Function, LocalModels] | None = None

    def __call__(self, function: Function) -> LocalModels:
        """Return the models of a function."""
        if self._known is None or self._known[0] is not function:
            self._known = function, self._make(function)
        return self._known[1]
