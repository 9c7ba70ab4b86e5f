"""Vectors over the parameters: one flat tensor per block, and the algebra the methods need.

A block is a subdomain's set of parameters (or, without a decomposition, all parameters of one
device and dtype). With a vector kept as a short list of flat tensors, an operation takes one kernel
per block and blocks may be on different devices; it is also the form in which a rank holds its
part.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

Vector = list[Tensor]
Norm = Literal["l2", "inf"]


class Layout:
    """Where each parameter is in the flat blocks; to be used under ``torch.no_grad()``.

    Args:
        blocks: The parameters of each block; all in a block share a device and a dtype. Blocks
            without parameters, such as subdomains with nothing to train, are left out.

    Raises:
        ValueError: If a block mixes devices or dtypes, or is complex.

    Attributes:
        blocks: The parameters of each block that has any.
        parameters: All of them, block by block.
        subdomains: For each block, its position among the given blocks.
        last_subdomain: The last of the given blocks.
    """

    def __init__(self, blocks: Sequence[Sequence[Tensor]]) -> None:
        for index, block in enumerate(blocks):
            kinds = {(p.device, p.dtype) for p in block}
            if len(kinds) > 1:
                listed = sorted(f"{device}/{dtype}" for device, dtype in kinds)
                raise ValueError(
                    f"block {index} must have one device and one dtype, got {listed}: put them "
                    "into different subdomains or groups"
                )
            if any(dtype.is_complex for _, dtype in kinds):
                raise ValueError(
                    f"block {index} has complex parameters, allowed: real ones (their real and "
                    "imaginary parts, torch.view_as_real)"
                )
        self.subdomains = [index for index, block in enumerate(blocks) if block]
        self.last_subdomain = len(blocks) - 1
        self.blocks = [list(block) for block in blocks if block]
        self.parameters = [p for block in self.blocks for p in block]
        self._sizes = [[p.numel() for p in block] for block in self.blocks]
        self._shapes = [[p.shape for p in block] for block in self.blocks]
        self._buffers: list[tuple[Tensor, list[Tensor]] | None] = [None] * len(self.blocks)

    def __getstate__(self) -> dict[str, Any]:
        # Of a copy, buffers and their views would no longer share memory.
        return {**self.__dict__, "_buffers": [None] * len(self.blocks)}

    @property
    def sizes(self) -> list[int]:
        """Number of parameters of each block."""
        return [sum(sizes) for sizes in self._sizes]

    @cached_property
    def cuda_devices(self) -> list[torch.device]:
        """The CUDA devices that hold some of the parameters."""
        return cuda_devices(self.parameters)

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
        try:
            if len(tensors) == 1:
                return tensors[0].reshape(-1).clone()
            # In one call what torch.cat would take one more per tensor for.
            return torch._C._nn.flatten_dense_tensors(tensors)  # pyright: ignore[reportAttributeAccessIssue]
        except RuntimeError as error:
            if all(tensor.layout is torch.strided for tensor in tensors):
                raise
            raise ValueError(
                "a gradient is sparse, allowed: dense ones (nn.Embedding with sparse=False)"
            ) from error

    def buffer(self, block: int) -> Tensor:
        """Return a flat tensor of a block's size, to be filled and given to :meth:`shift`.

        It is always the same one, and :meth:`write` overwrites it. Cutting a flat tensor into the
        shapes of the parameters takes longer than copying it, so this is done only once.
        """
        return self._views_of(block)[0]

    def _views_of(self, block: int) -> tuple[Tensor, list[Tensor]]:
        found, like = self._buffers[block], self.blocks[block][0]
        # A model may be moved or converted in place.
        if found is None or found[0].dtype != like.dtype or found[0].device != like.device:
            flat = torch.empty(sum(self._sizes[block]), dtype=like.dtype, device=like.device)
            found = self._buffers[block] = flat, self._cut(block, flat)
        return found

    def _cut(self, block: int, flat: Tensor) -> list[Tensor]:
        parts = flat.split(self._sizes[block])
        return [part.view(s) for part, s in zip(parts, self._shapes[block], strict=True)]

    def read(self) -> Vector:
        """Copy the parameters into a vector."""
        return [self.flatten_block(block) for block in self.blocks]

    def read_block(self, block: int) -> Tensor:
        """Copy the parameters of one block into a flat tensor."""
        return self.flatten_block(self.blocks[block])

    def parts(self, vector: Vector) -> list[Tensor]:
        """Return a vector's values for each parameter, as views in its shape."""
        blocks = enumerate(vector)
        return [part for block, flat in blocks for part in self._cut(block, flat)]

    def write(self, vector: Vector) -> None:
        """Set the parameters to a vector's values."""
        for index, flat in enumerate(vector):
            self.write_block(index, flat)

    def write_block(self, block: int, flat: Tensor) -> None:
        """Set the parameters of one block to a flat tensor's values."""
        buffer, views = self._views_of(block)
        buffer.copy_(flat)
        torch._foreach_copy_(self.blocks[block], views)

    def write_sum(self, first: Vector, factor: float | Tensor, second: Vector) -> None:
        """Set the parameters to ``first + factor * second``."""
        for index, (a, b) in enumerate(zip(first, second, strict=True)):
            buffer, views = self._views_of(index)
            if isinstance(factor, Tensor):
                torch.addcmul(a, b, factor.to(b), out=buffer)
            else:
                torch.add(a, b, alpha=factor, out=buffer)
            torch._foreach_copy_(self.blocks[index], views)

    def written(self) -> Vector:
        """Return a copy of what was last written."""
        return [self.buffer(index).clone() for index in range(len(self.blocks))]

    def shift(self, block: int, factor: float | Tensor) -> None:
        """Add a block's buffer, times a factor, to its parameters.

        If the factor is still on a device, the buffer is multiplied by it.
        """
        buffer, views = self._views_of(block)
        if isinstance(factor, Tensor):
            buffer.mul_(factor)
            factor = 1.0
        torch._foreach_add_(self.blocks[block], views, alpha=factor)


def cuda_devices(tensors: Iterable[Tensor]) -> list[torch.device]:
    """Return the CUDA devices that hold some of the tensors, in order of appearance."""
    return list(dict.fromkeys(t.device for t in tensors if t.device.type == "cuda"))


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


def add_scaled(first: Vector, factor: float | Tensor, second: Vector) -> Vector:
    """Return ``first + factor * second``, in one pass if the factor is on the host."""
    if isinstance(factor, Tensor):
        return add(first, scale(factor, second))
    return [torch.add(a, b, alpha=factor) for a, b in zip(first, second, strict=True)]


def scale(factor: float | Tensor, vector: Vector) -> Vector:
    """Return ``factor * vector``; a scalar tensor is moved to each block's device and dtype.

    A factor of 1 returns the vector itself.
    """
    if isinstance(factor, Tensor):
        return [factor.to(v) * v for v in vector]
    return vector if factor == 1.0 else [factor * v for v in vector]


def dot(first: Vector, second: Vector) -> Tensor | float:
    """Return the inner product; see :func:`number` for its type."""
    return _total([number(torch.dot(a, b)) for a, b in zip(first, second, strict=True)])


def norm(vector: Vector, kind: Norm) -> Tensor | float:
    """Return the 2-norm or the infinity norm; see :func:`number` for its type."""
    if kind == "inf":
        parts = [number(v.abs().max()) for v in vector]
        return parts[0] if len(parts) == 1 else _largest(parts)
    parts = [number(torch.linalg.vector_norm(v)) for v in vector]
    return parts[0] if len(parts) == 1 else _total([p * p for p in parts]) ** 0.5


def number(value: Tensor) -> Tensor | float:
    """Return a scalar's value if it can be read without waiting, that is, if it is on the CPU."""
    return value.item() if value.is_cpu else value


def to_host(values: Sequence[Tensor | float]) -> list[float]:
    """Bring scalars to the host, with all tensors in one transfer.

    Args:
        values: Numbers and 0-dimensional tensors of any device.

    Returns:
        The values as Python floats, in the same order.
    """
    values = [number(v) if isinstance(v, Tensor) else v for v in values]
    tensors = [v for v in values if isinstance(v, Tensor)]
    if not tensors:
        return values  # pyright: ignore[reportReturnType]
    device = tensors[0].device
    packed = torch.stack([t.detach().to(device, torch.float64) for t in tensors])
    numbers = iter(packed.tolist())
    return [next(numbers) if isinstance(v, Tensor) else v for v in values]


def _total(parts: Sequence[Tensor | float]) -> Tensor | float:
    """Add numbers; if on several devices, on the first one's."""
    return parts[0] if len(parts) == 1 else _combined(parts, sum, torch.sum)


def _largest(parts: Sequence[Tensor | float]) -> Tensor | float:
    return _combined(parts, _max_or_nan, torch.max)


def _combined(
    parts: Sequence[Tensor | float],
    of_numbers: Callable[[list[float]], float],
    of_tensor: Callable[[Tensor], Tensor],
) -> Tensor | float:
    tensors = [p for p in parts if isinstance(p, Tensor)]
    if not tensors:
        return of_numbers([p for p in parts if not isinstance(p, Tensor)])
    like = tensors[0]
    return of_tensor(torch.stack([torch.as_tensor(p).to(like) for p in parts]))


def _max_or_nan(numbers: list[float]) -> float:
    return math.nan if any(math.isnan(n) for n in numbers) else max(numbers)
