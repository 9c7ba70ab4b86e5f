"""What the blocks keep of a captured call of the model."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from napts.decomposition.trees import (
    check_unwrapped,
    detached,
    differentiable,
    mapped,
    replaced,
    tensors_of,
)
from napts.optim.replay import RandomState
from napts.optim.subdomains import taken

_NOTHING = nullcontext()


@dataclass(frozen=True, slots=True)
class Cut:
    """Where one block ends and the next begins: at a call of a module of the model.

    Attributes:
        module: The module.
        name: Its qualified name.
        call: Which call of it within a call of the model, from 0.
        before: Whether the input of the call crosses, rather than its output.
    """

    module: nn.Module
    name: str
    call: int = 0
    before: bool = False


class Autocast:
    """The state of ``torch.autocast`` during a computation, to repeat it the same way.

    Args:
        device: Type of the device, ``"cpu"`` say.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._enabled = torch.is_autocast_enabled(device)
        self._dtype = torch.get_autocast_dtype(device) if self._enabled else None

    def again(self, ambient: "Autocast") -> AbstractContextManager[Any, bool | None]:
        """Return a context with this state; ``ambient`` was the state around the closure."""
        if self._enabled:
            return torch.autocast(self._device, self._dtype)
        # Where nobody spoke of autocast, a local precision may.
        return torch.autocast(self._device, enabled=False) if ambient._enabled else _NOTHING


@dataclass(slots=True)
class Visit:
    """What one block keeps of one call of the model.

    Attributes:
        entry: What came in, a structure of tensors without their graphs.
        random: State of the random generators then.
        autocast: State of autocast then.
        places: Places of the differentiable tensors among those that left the block.
        outputs: These tensors, ``a_d``, with their graphs, until downstream gradients are known.
        versions: Their versions when they were captured.
        values: The same tensors without their graphs, for comparison.
        downstream: ``delta_d``, the gradients of the loss at them.
        left: Whether the pass has left the block.
    """

    entry: Any = None
    random: RandomState | None = None
    autocast: Autocast | None = None
    places: list[int] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)
    downstream: list[Tensor] = field(default_factory=list)
    left: bool = False

    def leave(self, tree: Any) -> Any:
        """Note what leaves the block.

        Returns:
            What to pass on instead. Of several tensors, one may depend on another (a loss on the
            logits beside it), so views of them are passed on, whose gradients separate the uses
            of each.

        Raises:
            RuntimeError: If it exists only inside a transform of ``torch.func``.
        """
        self.left = True
        self.places, self.outputs = differentiable(tree)
        check_unwrapped(self.outputs)
        if len(self.outputs) > 1:
            self.outputs = [tensor.view_as(tensor) for tensor in self.outputs]
            everything = tensors_of(tree)
            for place, tensor in zip(self.places, self.outputs, strict=True):
                everything[place] = tensor
            tree = replaced(tree, everything)
        self.versions = [tensor._version for tensor in self.outputs]
        return tree


@dataclass(slots=True)
class Recorded:
    """One call of the model.

    Attributes:
        arguments: Its positional and keyword arguments, without graphs, if they are kept.
        random: State of the random generators when it began.
        autocast: State of autocast then.
        visits: One for each block.
        outputs: What it returned, without graphs.
        log: What modules other than those inside blocks returned, in order, if that is recorded.
        counts: How often each watched module has been called so far.
    """

    arguments: tuple[tuple[Any, ...], dict[str, Any]] | None
    random: RandomState
    autocast: Autocast
    visits: list[Visit]
    outputs: Any = None
    log: dict[nn.Module, list[Any]] = field(default_factory=dict)
    counts: dict[nn.Module, int] = field(default_factory=dict)

    def turn(self, module: nn.Module) -> int:
        """Return which call of a module this is, from 0."""
        self.counts[module] = turn = self.counts.get(module, -1) + 1
        return turn


def cut_samples(tree: Any, size: int, samples: Sequence[slice]) -> Any:
    """Take some samples of every tensor that has all of them as its first dimension."""

    def take(tensor: Tensor) -> Tensor:
        has_all = tensor.dim() > 0 and tensor.shape[0] == size
        return taken(tensor, samples) if has_all else tensor

    return mapped(take, tree)


def entry_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return the single input of a call of a traced model, without its graph.

    Raises:
        RuntimeError: If no argument has a tensor.
    """
    for value in (*args, *kwargs.values()):
        if isinstance(value, Tensor) or tensors_of(value):
            return detached(value)
    raise RuntimeError("the partitioned model was called without a tensor")
