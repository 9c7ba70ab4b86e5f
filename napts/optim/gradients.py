"""Gradients, with zeros where there is none."""

from collections.abc import Sequence

import torch
from torch import Tensor

UNRELATED = (
    "the closure's loss does not depend on the optimizer's parameters: does it use another model, "
    "or a copy?"
)
"""The message for a loss whose graph contains none of the parameters."""


def gradients(
    outputs: Tensor | Sequence[Tensor],
    inputs: Sequence[Tensor],
    vector: Tensor | Sequence[Tensor] | None = None,
    *,
    needed: int = 0,
) -> list[Tensor]:
    """Return the vector-Jacobian products of a graph, and free it.

    This is ``torch.autograd.grad(..., materialize_grads=True)`` without its many checks, for inputs
    that are plain tensors.

    Args:
        outputs: A scalar, or a tensor of the vector's shape, or several of them.
        inputs: Differentiate with respect to these.
        vector: What multiplies the Jacobian, or one for each output; ``None`` for a scalar.
        needed: At least one of the first ``needed`` inputs must be in the graph.

    Returns:
        One tensor per input, of its shape.

    Raises:
        ValueError: If none of the needed inputs is in the graph.
    """
    found = torch.autograd.grad(outputs, inputs, vector, allow_unused=True)
    if needed and all(gradient is None for gradient in found[:needed]):
        raise ValueError(UNRELATED)
    pairs = zip(found, inputs, strict=True)
    return [torch.zeros_like(x) if gradient is None else gradient for gradient, x in pairs]
