"""States of optimizers on ranks: merged into one for a checkpoint, and divided again.

A merged state covers all parameters in the order of the stages, so that it can be divided among
another number of ranks. In it, a vector (a remembered iterate, say) is one flat tensor.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

State = dict[str, Any]

_VECTORS = ("theta", "first", "second", "direction", "previous", "average", "iterate")
"""Names under which optimizers keep vectors: iterates, steps, averages of gradients or iterates."""

_COMMON = ("histories", "tracking")
"""Names of what only states have that belong to all parameters."""


def merge_states(states: Sequence[State]) -> State:
    """Return one state of all ranks' optimizer states.

    Args:
        states: What ``state_dict`` returned on each rank, in order of the ranks, on the CPU.

    Returns:
        The state of every parameter by its index among all parameters. What a method keeps once for
        all parameters is the same on all ranks, except its vectors.
    """
    merged: dict[int, Any] = {}
    first = 0
    for state in states:
        for index, value in state["state"].items():
            if not _is_common(value):
                merged[first + index] = value
        first += _count(state)
    common = [state["state"][0] for state in states if _is_common(state["state"].get(0))]
    if common:
        merged[0] = _merge(common)
    return {"state": merged, "parameters": first}


def divide_state(
    merged: State, own: State, before: Sequence[Tensor], blocks: Sequence[int]
) -> State:
    """Return a rank's part of a merged state.

    Args:
        merged: What :func:`merge_states` returned.
        own: State of this rank's new optimizer, for its groups.
        before: The parameters of the ranks before this one.
        blocks: Sizes of the blocks of this rank's vectors.

    Returns:
        What ``load_state_dict`` takes on this rank.
    """
    state: dict[int, Any] = {}
    common = merged["state"].get(0)
    if _is_common(common):
        state[0] = _divide(common, blocks, sum(p.numel() for p in before))
    else:
        first = len(before)
        own_range = range(first, first + _count(own))
        state = {i - first: merged["state"][i] for i in own_range if i in merged["state"]}
    return {"state": state, "param_groups": own["param_groups"]}


def _count(state: State) -> int:
    return sum(len(group["params"]) for group in state["param_groups"])


def _is_common(value: Any) -> bool:
    return isinstance(value, dict) and any(name in value for name in _COMMON)


def _merge(values: Sequence[Any], name: str = "") -> Any:
    value = values[0]
    if name in _VECTORS and value is not None:
        return torch.cat([flat.reshape(-1).cpu() for vector in values for flat in vector])
    if isinstance(value, dict):
        return {key: _merge([v[key] for v in values], key) for key in value}
    if isinstance(value, list):
        return [_merge(parts) for parts in zip(*values, strict=True)]
    return value


def _divide(value: Any, blocks: Sequence[int], offset: int, name: str = "") -> Any:
    if name in _VECTORS and value is not None:
        return list(_slice(value, blocks, offset))
    if isinstance(value, dict):
        return {key: _divide(v, blocks, offset, key) for key, v in value.items()}
    if isinstance(value, list):
        return [_divide(v, blocks, offset) for v in value]
    return value


def _slice(flat: Tensor, blocks: Sequence[int], offset: int) -> tuple[Tensor, ...]:
    return flat[offset : offset + sum(blocks)].clone().split(list(blocks))
