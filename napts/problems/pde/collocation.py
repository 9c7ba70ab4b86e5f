"""Points of a box: the Hammersley set, grids, and sides."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

_PRIMES = (2, 3, 5, 7)

Domain = Mapping[str, tuple[float, float]]
"""The interval of each coordinate, by its one-letter name, in order."""


def hammersley(count: int, dimensions: int) -> Tensor:
    """Return the Hammersley set of the unit cube, ``(count, dimensions)``, in double precision.

    The last coordinate is ``j / (count + 1)`` for ``j = 1, ..., count``; the others are the radical
    inverses of ``j`` in the bases 2, 3, ... It is our choice that the sequences begin with ``j =
    1``; the authors' code takes those of scikit-optimize.

    Args:
        count: Number of points.
        dimensions: Number of coordinates, at most 5.
    """
    index = torch.arange(1, count + 1, dtype=torch.float64)
    inverses = [_radical_inverse(index, base) for base in _PRIMES[: dimensions - 1]]
    return torch.stack([*inverses, index / (count + 1)], dim=1)


def _radical_inverse(index: Tensor, base: int) -> Tensor:
    """Return numbers whose digits in a base are those of the index, mirrored at the point."""
    found, left, unit = torch.zeros_like(index), index.clone(), 1.0
    while bool((left > 0).any()):
        unit /= base
        found += unit * (left % base)
        left = left.div(base, rounding_mode="floor")
    return found


def scaled(unit: Tensor, domain: Domain) -> Tensor:
    """Return points of the unit cube in a box."""
    low, high = torch.tensor(list(domain.values()), dtype=unit.dtype).T
    return low + (high - low) * unit


def axes(domain: Domain, counts: Sequence[int]) -> list[Tensor]:
    """Return equally spaced values of each coordinate, ends included, ready to be broadcast."""
    values = [
        torch.linspace(*interval, count, dtype=torch.float64)
        for interval, count in zip(domain.values(), counts, strict=True)
    ]
    return [
        value.reshape([-1 if k == i else 1 for k in range(len(values))])
        for i, value in enumerate(values)
    ]


def grid(values: Sequence[Tensor]) -> Tensor:
    """Return the points of a grid, ``(n, d)``, the last coordinate first, from its :func:`axes`."""
    return torch.stack([each.reshape(-1) for each in torch.broadcast_tensors(*values)], dim=1)


def side(domain: Domain, fixed: Mapping[str, float], count: int) -> Tensor:
    """Return equally spaced points of a side of a box, ``(n, d)``, its ends included.

    Args:
        domain: The box.
        fixed: Values of the coordinates that do not vary.
        count: Points for each of the others.
    """
    box = {n: (fixed[n], fixed[n]) if n in fixed else ends for n, ends in domain.items()}
    return grid(axes(box, [1 if name in fixed else count for name in domain]))
