"""Data sets as tensors that live on the device, and the raw arrays they are made from."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

DIGEST_LENGTH = 16


def digest(tensors: Iterable[Tensor]) -> str:
    """Return a short SHA-256 of the shapes, types and bytes of tensors, on any device.

    Args:
        tensors: Tensors in a fixed order.

    Returns:
        The first 16 hexadecimal digits.
    """
    state = hashlib.sha256()
    for tensor in tensors:
        array = tensor.detach().cpu().contiguous()
        state.update(f"{tuple(array.shape)}{array.dtype}".encode())
        state.update(array.numpy().data)
    return state.hexdigest()[:DIGEST_LENGTH]


@dataclass(frozen=True, slots=True)
class Normalisation:
    """Constants that map stored inputs to what the network sees: ``(x / scale - mean) / std``.

    Attributes:
        mean: One value per channel, in units of ``x / scale``.
        std: One positive value per channel, same units.
        scale: Largest stored value (255 for 8-bit images).
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    scale: float = 255.0


class Prepare:
    """Turns stored inputs into network inputs, on the device and one batch at a time.

    Args:
        normalisation: Constants per channel (dimension 1), or None to convert the type only.
        device: Where the inputs are.
        dtype: Floating-point type of the result.
    """

    def __init__(
        self,
        normalisation: Normalisation | None = None,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.dtype = dtype
        self._shift: Tensor | None = None
        self._factor: Tensor | None = None
        if normalisation is not None:
            mean, std = (
                torch.tensor(values, dtype=dtype, device=device).view(1, -1, 1, 1)
                for values in (normalisation.mean, normalisation.std)
            )
            # In stored units, so that a batch pays one subtraction and one product.
            self._shift = mean * normalisation.scale
            self._factor = 1.0 / (std * normalisation.scale)

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return a new tensor of type ``dtype``; ``inputs`` is unchanged."""
        if self._shift is None or self._factor is None:
            return inputs.to(self.dtype)
        return inputs.to(self.dtype, copy=True).sub_(self._shift).mul_(self._factor)


@dataclass(frozen=True, slots=True)
class RawSet:
    """Samples as a source delivers them, on the CPU.

    Attributes:
        inputs: ``(n, ...)``, uint8 for images with shape ``(n, channels, height, width)``.
        targets: ``(n,)`` int64.
    """

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return self.targets.shape[0]

    def take(self, index: Tensor) -> Self:
        """Return the samples at these positions, in their order."""
        return type(self)(self.inputs[index], self.targets[index])


@dataclass(frozen=True, slots=True)
class RawData:
    """What a source delivers: its training set, not yet split, and its test set."""

    train: RawSet
    test: RawSet

    def digest(self) -> str:
        """Return the short SHA-256 of all arrays."""
        return digest((self.train.inputs, self.train.targets, self.test.inputs, self.test.targets))
