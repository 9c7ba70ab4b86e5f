"""Vectors over the parameters: one flat tensor per block, and the algebra the methods need.

A block is a subdomain's set of parameters (or, without a decomposition, all parameters of one
device and dtype). Keeping a vector as a short list of flat tensors makes an operation one kernel
per block, lets blocks live on different devices, and is the form in which a rank holds its part.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from torch import Tensor

Vector = list[Tensor]
Norm = Literal["l2", "inf"]


class Layout:
    """Where each parameter lies in the flat blocks.

    Args:
        blocks: The parameters of each block; all of a block share a device and a dtype.

    Raises:
        ValueError: If a block mixes devices or dtypes.
    """

    def __init__(self, blocks: Sequence[Sequence[Tensor]]) -> None:
        for index, block in enumerate(blocks):
            kinds = {(p.device, p.dtype) for p in block}
            if len(kinds) != 1:
                listed = sorted(f"{device}/{dtype}" for device, dtype in kinds)
                raise ValueError(f"block {index} must have one device and one dtype, got {listed}")
        self.blocks = [list(block) for block in blocks]
        self.parameters = [p for block in self.blocks for p in block]
        self._sizes = [[p.numel() for p in block] for block in self.blocks]
        self._shapes = [[p.shape for p in block] for block in self.blocks]

    @property
    def sizes(self) -> list[int]:
        """Number of parameters of each block."""
        return [sum(sizes) for sizes in self._sizes]

    def flatten(self, tensors: Sequence[Tensor]) -> Vector:
        """Copy one tensor per parameter (gradients, say) into a vector."""
        tensors = list(tensors)
        vector, start = [], 0
        for block in self.blocks:
            vector.append(self.flatten_block(tensors[start : start + len(block)]))
            start += len(block)
        return vector

    @staticmethod
    def flatten_block(tensors: Sequence[Tensor]) -> Tensor:
        """Copy the tensors of one block into a flat tensor."""
        return torch.cat([tensor.reshape(-1) for tensor in tensors])

    def views(self, block: int, flat: Tensor) -> list[Tensor]:
        """Return views of a block's flat tensor in the shapes of its parameters."""
        parts = flat.split(self._sizes[block])
        return [part.view(s) for part, s in zip(parts, self._shapes[block], strict=True)]

    @torch.no_grad()
    def read(self) -> Vector:
        """Copy the parameters into a vector."""
        return [self.flatten_block(block) for block in self.blocks]

    @torch.no_grad()
    def write(self, vector: Vector) -> None:
        """Set the parameters to a vector's values."""
        for index, flat in enumerate(vector):
            torch._foreach_copy_(self.blocks[index], self.views(index, flat))

    @torch.no_grad()
    def shift(self, block: int, flat: Tensor) -> None:
        """Add a flat tensor to the parameters of one block."""
        torch._foreach_add_(self.blocks[block], self.views(block, flat))


def blocks_by_kind(parameters: Iterable[Tensor]) -> list[list[Tensor]]:
    """Group parameters by device and dtype, in order of appearance."""
    groups: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
    for parameter in parameters:
        groups.setdefault((parameter.device, parameter.dtype), []).append(parameter)
    return list(groups.values())


def add(first: Vector, second: Vector) -> Vector:
    """Return ``first + second``."""
    return [a + b for a, b in zip(first, second, strict=True)]


def subtract(first: Vector, second: Vector) -> Vector:
    """Return ``first - second``."""
    return [a - b for a, b in zip(first, second, strict=True)]


def mix(weight: float, first: Vector, second: Vector) -> Vector:
    """Return ``weight * first + (1 - weight) * second``."""
    return [torch.lerp(b, a, weight) for a, b in zip(first, second, strict=True)]


def scale(factor: float | Tensor, vector: Vector) -> Vector:
    """Return ``factor * vector``; a scalar tensor is moved to each block's device and dtype."""
    if isinstance(factor, Tensor):
        return [factor.to(v) * v for v in vector]
    return [factor * v for v in vector]


def dot(first: Vector, second: Vector) -> Tensor:
    """Return the inner product, a scalar on the first block's device."""
    return _total([torch.dot(a, b) for a, b in zip(first, second, strict=True)])


def norm(vector: Vector, kind: Norm) -> Tensor:
    """Return the 2-norm or the infinity norm, a scalar on the first block's device."""
    if kind == "inf":
        parts = [v.abs().max() for v in vector]
        return parts[0] if len(parts) == 1 else torch.stack([p.to(parts[0]) for p in parts]).max()
    parts = [torch.linalg.vector_norm(v) for v in vector]
    return parts[0] if len(parts) == 1 else _total([p * p for p in parts]).sqrt()


def to_host(values: Sequence[Tensor | float]) -> list[float]:
    """Bring scalars to the host, all tensors among them in one transfer.

    Args:
        values: Numbers and 0-dimensional tensors of any device.

    Returns:
        The values as Python floats, in the same order.
    """
    tensors = [v for v in values if isinstance(v, Tensor)]
    if not tensors:
        return [float(v) for v in values]
    device = tensors[0].device
    if all(t.device.type == "cpu" for t in tensors):
        return [float(v) for v in values]
    packed = torch.stack([t.detach().to(device, torch.float64) for t in tensors])
    numbers = iter(packed.tolist())
    return [next(numbers) if isinstance(v, Tensor) else float(v) for v in values]


def _total(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.stack([p.to(parts[0]) for p in parts]).sum()
