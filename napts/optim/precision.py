"""Lower precision for local steps, while the loss itself keeps full precision."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal

import torch

LocalPrecision = Literal["full", "tf32", "bfloat16"]


def reduced(
    precision: LocalPrecision, device: torch.device
) -> AbstractContextManager[object, bool | None]:
    """Compute in a precision while this is open.

    Args:
        precision: ``"full"`` is that of the parameters; ``"tf32"`` lets CUDA devices multiply
            float32 matrices with 10 bits of mantissa (elsewhere nothing changes); ``"bfloat16"``
            is torch's autocast. Parameters and gradients always keep their type.
        device: The device to compute on.
    """
    if precision == "bfloat16":
        return torch.autocast(device.type, torch.bfloat16)
    if precision == "tf32" and device.type == "cuda":
        return _tf32()
    return _AS_IT_IS


_AS_IT_IS = nullcontext()


@contextmanager
def _tf32() -> Iterator[None]:
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
