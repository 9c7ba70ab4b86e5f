"""Gradients with a zero where there is none."""

from collections.abc import Sequence

import torch
from torch import Tensor


def gradients(
    outputs: Tensor | Sequence[Tensor],
    inputs: Sequence[Tensor],
    vector: Tensor | Sequence[Tensor] | None = None,
) -> list[Tensor]:
    """Return the vector-Jacobian products of a graph, which is freed.

    What ``torch.autograd.grad(..., materialize_grads=True)`` returns, without its many checks of
    inputs that are plain tensors.

    Args:
        outputs: A scalar, or a tensor of the vector's shape, or several of them.
        inputs: With respect to what.
        vector: What the Jacobian is multiplied with, or one for each output; ``None`` for a scalar.

    Returns:
        One tensor per input, of its shape.
    """
    found = torch.autograd.grad(outputs, inputs, vector, allow_unused=True)
    pairs = zip(found, inputs, strict=True)
    return [torch.zeros_like(x) if gradient is None else gradient for gradient, x in pairs]
