"""The communicator of several ranks."""

import math
from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from napts.optim.communicator import Combine, Share


class RankCommunicator:
    """Combines shares over a process group, all of them in one packed collective.

    Shares are gathered and then combined in the order of the ranks on every rank, in float64, so
    that all ranks see the same bits whatever the backend's reduction order is.

    Args:
        device: Where this rank computes.
        group: Process group; None for all ranks.

    Attributes:
        size: Number of ranks.
        collectives: Number of collectives so far.
    """

    def __init__(self, device: torch.device, group: dist.ProcessGroup | None = None) -> None:
        self.size = dist.get_world_size(group)
        self.collectives = 0
        self._device = device
        self._group = group

    def collect(self, shares: Sequence[Share]) -> list[float]:
        """Combine shares and bring the results to the host; none if all are known already."""
        tensors = [value for value, _ in shares if isinstance(value, Tensor)]
        if not tensors:
            return [float(value) for value, _ in shares]
        packed = torch.stack([t.detach().to(self._device, torch.float64) for t in tensors])
        columns = iter(zip(*self._gather(packed), strict=True))
        return [
            _combine(next(columns), how) if isinstance(value, Tensor) else float(value)
            for value, how in shares
        ]

    def _gather(self, packed: Tensor) -> list[list[float]]:
        """Return every rank's numbers, by rank."""
        if self.size == 1:
            return [packed.tolist()]
        self.collectives += 1
        gathered = list(packed.new_empty(self.size, packed.numel()).unbind())
        dist.all_gather(gathered, packed, group=self._group)
        return torch.stack(gathered).tolist()


def _combine(shares: tuple[float, ...], how: Combine) -> float:
    if how == "max":
        # Python's max passes over a NaN that is not in front.
        return math.nan if any(math.isnan(share) for share in shares) else max(shares)
    if how == "root" and len(shares) > 1:
        return math.sqrt(sum(share * share for share in shares))
    return sum(shares)
