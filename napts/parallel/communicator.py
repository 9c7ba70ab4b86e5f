"""The communicator of several ranks."""

import math
from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from napts.optim.communicator import Combine, Share
from napts.optim.vectors import Norm, Vector


class RankCommunicator:
    """Combines shares over a process group, all of them in one packed collective.

    Shares are one number per stage. They are gathered, and every rank combines them itself, in
    float64 and in the order of the stages, so the result has the same bits on every rank and with
    any number of ranks.

    Args:
        device: Where this rank computes.
        width: The largest number of stages that a rank holds.
        group: Process group; None for all ranks.

    Attributes:
        size: Number of ranks.
        collectives: Number of collectives so far.
    """

    spread = True

    def __init__(
        self, device: torch.device, width: int, group: dist.ProcessGroup | None = None
    ) -> None:
        self.size = dist.get_world_size(group)
        self.collectives = 0
        self._device, self._width, self._group = device, width, group

    def norm(self, vector: Vector, kind: Norm) -> Tensor:
        """Return the norm of each of this rank's blocks."""
        order = 2 if kind == "l2" else math.inf
        return torch.stack([torch.linalg.vector_norm(block, order) for block in vector])

    def dot(self, first: Vector, second: Vector) -> Tensor:
        """Return the inner product of each of this rank's blocks."""
        return torch.stack([torch.dot(a, b) for a, b in zip(first, second, strict=True)])

    def collect(self, shares: Sequence[Share]) -> list[float]:
        """Combine shares and bring the results to the host; no collective if all are known."""
        tensors = [value for value, _ in shares if isinstance(value, Tensor)]
        if not tensors:
            return [float(value) for value, _ in shares]
        rows = self._gather(torch.cat([self._packed(tensor) for tensor in tensors]))
        slots = iter(range(0, len(rows[0]), self._width))
        return [
            float(value)
            if not isinstance(value, Tensor)
            else self._combined(rows, next(slots), how)
            for value, how in shares
        ]

    def _packed(self, share: Tensor) -> Tensor:
        """Return a share padded to the slots a rank may need; 0 changes no sum and no norm."""
        packed = torch.zeros(self._width, dtype=torch.float64, device=self._device)
        packed[: share.numel()] = share.detach().reshape(-1)
        return packed

    def _gather(self, packed: Tensor) -> list[list[float]]:
        """Return every rank's numbers, by rank."""
        if self.size == 1:
            return [packed.tolist()]
        self.collectives += 1
        gathered = list(packed.new_empty(self.size, packed.numel()).unbind())
        dist.all_gather(gathered, packed, group=self._group)
        return torch.stack(gathered).tolist()

    def _combined(self, rows: list[list[float]], slot: int, how: Combine) -> float:
        return _combine([n for row in rows for n in row[slot : slot + self._width]], how)


def _combine(numbers: list[float], how: Combine) -> float:
    if how == "max":
        # Python's max passes over a NaN that is not in front.
        return math.nan if any(map(math.isnan, numbers)) else max(numbers)
    if how == "root":
        return math.sqrt(sum(number * number for number in numbers))
    return sum(numbers)
