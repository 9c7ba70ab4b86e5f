"""What a captured pass looked like: how its loss depends on the blocks, and what the model was."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

# Type of the nodes at which gradients end. The first use of the package, which imports this module,
# may be under torch.no_grad().
with torch.enable_grad():
    _ACCUMULATE = type(
        torch.ones((), requires_grad=True).expand(1).grad_fn.next_functions[0][0]  # pyright: ignore[reportOptionalMemberAccess]
    )
_CONTAINERS = ("_parameters", "_buffers", "_modules")
_PLAIN = frozenset({bool, int, float, str, type(None)})
_COLLECTIONS = frozenset({dict, list, tuple, set})
_LONGEST = 16


@dataclass(frozen=True, slots=True)
class Dependence:
    """How a loss depends on the parameters of the blocks.

    Attributes:
        signature: Equal for graphs of the same operations in the same order.
        lacking: Blocks whose parameters also reach the loss other than through the block's outputs,
            so that the gradient through these is incomplete.
        misplaced: Parameters that are used outside their own block.
        strangers: What else the loss depends on.
    """

    signature: int
    lacking: frozenset[int]
    misplaced: tuple[Tensor, ...]
    strangers: tuple[Tensor, ...]


def dependence(
    loss: Tensor, outputs: Sequence[Iterable[Tensor]], parameters: Sequence[Iterable[Tensor]]
) -> Dependence:
    """Walk the graph of a loss back to the parameters.

    A gradient through a block with its input frozen is the loss's gradient if and only if every
    path from the loss to the block's parameters leads through an output of the block, and from
    there to the parameters without leaving the block.

    Args:
        loss: The loss, with its graph.
        outputs: The outputs of each block, over all calls of the model.
        parameters: The parameters of each block.
    """
    ends: dict[tuple[Any, int], int] = {
        (tensor.grad_fn, tensor.output_nr): block
        for block, tensors in enumerate(outputs)
        for tensor in tensors
        if tensor.grad_fn is not None
    }
    owners = {id(p): (block, p) for block, own in enumerate(parameters) for p in own}
    top = len(parameters)
    start = ends.get((loss.grad_fn, loss.output_nr), top)
    waiting: list[tuple[Any, int]] = [(loss.grad_fn, start)]
    seen = {waiting[0]}
    inside: set[int] = set()
    outside: set[int] = set()
    in_blocks: set[int] = set()
    trail: list[Any] = []
    strangers: list[Tensor] = []
    while waiting:
        node, region = waiting.pop()
        for edge in node.next_functions:
            following = edge[0]
            if following is None:
                continue
            entered = following, ends.get(edge, region)
            if entered in seen:
                continue
            seen.add(entered)
            trail.append(following.__class__)
            if following.__class__ is not _ACCUMULATE:
                waiting.append(entered)
                continue
            key = id(following.variable)
            if key in owners:
                (inside if owners[key][0] == entered[1] else outside).add(key)
                if entered[1] != top:
                    in_blocks.add(key)
            else:
                strangers.append(following.variable)
    return Dependence(
        hash(tuple(trail)),
        frozenset(owners[key][0] for key in outside),
        tuple(owners[key][1] for key in (outside - inside) & in_blocks),
        tuple(strangers),
    )


Key = tuple[int, str]
"""A module, by identity, and the name of one of its attributes."""


def appearance(model: nn.Module, *, containers_only: bool = False) -> list[tuple[Key, Any]]:
    """Return what a model looks like: its modules' modes, hooks, buffers and attributes.

    Values of tensors do not count; state that a closure or a function keeps elsewhere is not seen.

    Args:
        model: The model.
        containers_only: Examine only `nn.Sequential`, not what else is in it.
    """
    parts: list[tuple[Key, Any]] = []
    waiting: list[nn.Module | None] = [model]
    seen: set[int] = set()
    while waiting:
        module = waiting.pop()
        if module is None or id(module) in seen:
            continue
        seen.add(id(module))
        if containers_only and not isinstance(module, nn.Sequential):
            continue
        waiting.extend(module._modules.values())
        for name, value in module.__dict__.items():
            kind = value.__class__
            if kind in _PLAIN:
                parts.append(((id(module), name), value))
            elif name in _CONTAINERS:
                parts.append(((id(module), name), tuple(map(id, value.values()))))
            elif kind not in _COLLECTIONS and not isinstance(value, dict):
                parts.append(((id(module), name), id(value)))
            elif value:
                parts.append(((id(module), name), _contents(value)))
    return parts


def changed(before: list[tuple[Key, Any]], after: list[tuple[Key, Any]]) -> set[Key]:
    """Return the attributes in which two appearances differ."""
    old, new = dict(before), dict(after)
    return {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}


def _contents(container: Any) -> tuple[Any, ...]:
    items = container.items() if isinstance(container, Mapping) else enumerate(container)
    listed = [_known(part) for pair in items for part in pair] if len(container) <= _LONGEST else []
    return (len(container), *listed)


def _known(value: Any) -> Any:
    return value if value.__class__ in _PLAIN else id(value)
