"""Chebyshev collocation: nodes, differentiation, interpolation."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def nodes(count: int, low: float = -1.0, high: float = 1.0) -> Array:
    """Return the ``count + 1`` extrema of a Chebyshev polynomial, from ``low`` to ``high``."""
    unit = np.sin(np.pi * np.arange(-count, count + 1, 2) / (2 * count))  # symmetric to the bit
    return low + (high - low) * (unit + 1.0) / 2.0


def _weights(count: int) -> Array:
    """Return the barycentric weights of the nodes, up to a common factor."""
    weights = (-1.0) ** np.arange(count + 1)
    weights[[0, -1]] /= 2.0
    return weights


def differentiation(at: Array) -> Array:
    """Return the matrix that differentiates polynomials given by their values at nodes.

    Its rows sum to zero, so that constants have derivative 0.

    Args:
        at: ``(n,)`` nodes, from :func:`nodes`.
    """
    weights, distance = _weights(len(at) - 1), at[:, None] - at
    np.fill_diagonal(distance, 1.0)
    matrix = weights / weights[:, None] / distance
    np.fill_diagonal(matrix, 0.0)
    np.fill_diagonal(matrix, -matrix.sum(1))
    return matrix


def interpolation(at: Array, to: Array) -> Array:
    """Return the ``(len(to), len(at))`` matrix that evaluates such polynomials at other points."""
    distance = to[:, None] - at
    hit = distance == 0.0
    terms = _weights(len(at) - 1) / np.where(hit, 1.0, distance)
    matrix = terms / terms.sum(1, keepdims=True)
    exact = hit.any(1)
    matrix[exact] = hit[exact]
    return matrix
