"""Steepest descent in the spectral norm: the direction of a weight matrix as a matrix.

A trust region needs a norm. In the Euclidean norm the best direction of a linear model is the
gradient, in the infinity norm its signs; in the spectral norm of a weight matrix, which bounds how
far the matrix can move any output for a given input, it is the polar factor of the gradient: all
its singular values become one. Muon takes such steps with a learning rate (Jordan et al., 2024);
Kovalev, *Understanding Gradient Orthogonalization for Deep Learning via Non-Euclidean Trust-Region
Optimization* (2025), shows that they are trust-region steps.
"""

import math
from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from napts.optim.vectors import Layout, Vector

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the odd polynomial that is iterated (Jordan et al.): steep at 0, about 1 beyond."""

ITERATIONS = 5
"""Iterations of it; enough for singular values down to 1.5e-3 of the Frobenius norm."""

ENTRY = 0.2
"""Root mean square of a direction's entries at full rank, about that of Adam's (Liu et al., *Muon
is Scalable for LLM Training*, 2025), so that one radius fits both."""

FADED = 1e-3
"""Root mean square of Adam's direction below which a matrix's direction fades with it (our choice).
That of a matrix with gradients is some hundred times as large."""


def polar_factor(matrix: Tensor) -> Tensor:
    """Return about the orthogonal polar factor ``U V^T`` of a matrix ``U diag(s) V^T``.

    Newton-Schulz iteration with a quintic polynomial: only products of matrices, in single
    precision if the matrix has less. Singular values from 1.5e-3 of the Frobenius norm up end
    between 0.68 and 1.21, smaller ones lower. A matrix of zeros is returned as it is.

    Args:
        matrix: Shape (rows, columns), real.
    """
    half = matrix.dtype in (torch.float16, torch.bfloat16)
    precise = matrix.float() if half else matrix
    wide = precise if matrix.shape[0] <= matrix.shape[1] else precise.T
    # In two steps, since the squares of small numbers vanish.
    scaled = wide / wide.abs().amax().clamp_min(torch.finfo(wide.dtype).tiny)
    factor = scaled / torch.linalg.vector_norm(scaled).clamp_min(1.0)
    a, b, c = _COEFFICIENTS
    with torch.autocast(matrix.device.type, enabled=False):
        for _ in range(ITERATIONS):
            # Iterating with the product of the polynomials instead would be cheaper, but rounding
            # makes small eigenvalues negative there, and from TF32 on they explode.
            gram = factor @ factor.T
            factor = torch.addmm(
                factor, torch.addmm(gram, gram, gram, beta=b, alpha=c), factor, beta=a
            )
    return (factor if wide is precise else factor.T).to(matrix.dtype)


def direct(
    direction: Vector, averages: Sequence[Tensor], layout: Layout, left: Collection[int] = ()
) -> None:
    """Overwrite Adam's direction where parameters are matrices, with polar factors of an average.

    A parameter with more than two dimensions counts as a matrix with a row for each entry of the
    first one (a filter of a convolution). The entries of a new direction have at most about the
    root mean square ``ENTRY``, which they have at full rank.

    The polar factor has no size: of an average of gradients that ceased long ago, or that are
    rounding, it would be as large as of any other. So it fades where Adam's direction does.

    Args:
        direction: Adam's; changed in place.
        averages: Running averages of the gradient, one flat tensor a block.
        layout: Where the parameters are in both.
        left: Identities of parameters that keep Adam's direction.
    """
    parts = zip(layout.parts(direction), layout.parts(list(averages)), strict=True)
    for parameter, (part, average) in zip(layout.parameters, parts, strict=True):
        if part.ndim >= 2 and part.numel() and id(parameter) not in left:
            factor = polar_factor(average.flatten(1))
            length = ENTRY * math.sqrt(max(factor.shape))
            alive = (part.square().mean().sqrt() / FADED).clamp_max(1.0)
            part.copy_(factor.reshape(part.shape).mul_(-length).mul_(alive))
