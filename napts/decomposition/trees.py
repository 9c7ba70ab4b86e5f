"""Tensors in nested containers, which modules take and return besides single tensors."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree


def tensors_of(tree: Any) -> list[Tensor]:
    """Return all tensors in a structure of tuples, lists, dictionaries and the like, in order."""
    if isinstance(tree, Tensor):
        return [tree]
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, Tensor)]


def mapped(function: Callable[[Tensor], Tensor], tree: Any) -> Any:
    """Return the same structure with every tensor mapped and all else unchanged."""
    if isinstance(tree, Tensor):
        return function(tree)
    return pytree.tree_map_only(Tensor, function, tree)


def detached(tree: Any) -> Any:
    """Return the same structure without the graphs of its tensors.

    A leaf that requires a gradient stays one, since the model may differentiate by it.
    """
    return mapped(_detached, tree)


def _detached(tensor: Tensor) -> Tensor:
    alone = tensor.detach()
    return alone.requires_grad_() if tensor.is_leaf and tensor.requires_grad else alone


def replaced(tree: Any, values: Sequence[Tensor]) -> Any:
    """Return the same structure with other tensors.

    Args:
        tree: The structure.
        values: One tensor for each of :func:`tensors_of`, in that order.

    Raises:
        RuntimeError: If their numbers differ.
    """
    if isinstance(tree, Tensor):
        (value,) = values
        return value
    leaves, structure = pytree.tree_flatten(tree)
    count = sum(isinstance(leaf, Tensor) for leaf in leaves)
    if count != len(values):
        raise RuntimeError(f"found {count} tensors where {len(values)} were captured")
    following = iter(values)
    filled = [next(following) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
    return pytree.tree_unflatten(filled, structure)


def differentiable(tree: Any) -> tuple[list[int], list[Tensor]]:
    """Return the tensors through which a gradient flows, with their places among all tensors."""
    if isinstance(tree, Tensor):
        return ([0], [tree]) if tree.requires_grad else ([], [])
    found = [(i, t) for i, t in enumerate(tensors_of(tree)) if t.requires_grad]
    return [i for i, _ in found], [t for _, t in found]


def check_unwrapped(tensors: Sequence[Tensor]) -> None:
    """Check that tensors are not placeholders of a transform.

    Raises:
        RuntimeError: If one exists only inside a transform of ``torch.func``.
    """
    wrapped = torch._C._functorch.is_functorch_wrapped_tensor  # pyright: ignore[reportAttributeAccessIssue]
    if any(map(wrapped, tensors)):
        raise RuntimeError(
            "the model is called inside a transform of torch.func (vmap, grad, jvp), where no "
            "boundary data can be captured: take derivatives with torch.autograd.grad, or use TR, "
            "NTR or APTSW"
        )
