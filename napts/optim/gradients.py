"""Gradients with a zero where there is none."""

from collections.abc import Sequence

import torch
from torch import Tensor

UNRELATED = (
    "the closure's loss does not depend on the optimizer's parameters: is it of another model, or "
    "of a copy?"
)
"""What is said of a loss whose graph holds none of the parameters."""


def gradients(
    outputs: Tensor | Sequence[Tensor],
    inputs: Sequence[Tensor],
    vector: Tensor | Sequence[Tensor] | None = None,
    *,
    needed: int = 0,
) -> list[Tensor]:
    """Return the vector-Jacobian products of a graph, which is freed.

    What ``torch.autograd.grad(..., materialize_grads=True)`` returns, without its many checks of
    inputs that are plain tensors.

    Args:
        outputs: A scalar, or a tensor of the vector's shape, or several of them.
        inputs: With respect to what.
        vector: What the Jacobian is multiplied with, or one for each output; ``None`` for a scalar.
        needed: Of the first so many inputs at least one has to be in the graph.

    Returns:
        One tensor per input, of its shape.

    Raises:
        ValueError: If none of those that are needed is in the graph.
    """
    found = torch.autograd.grad(outputs, inputs, vector, allow_unused=True)
    if needed and all(gradient is None for gradient in found[:needed]):
        raise ValueError(UNRELATED)
    pairs = zip(found, inputs, strict=True)
    return [torch.zeros_like(x) if gradient is None else gradient for gradient, x in pairs]
