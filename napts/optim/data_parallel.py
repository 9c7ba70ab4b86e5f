"""Processes that hold the same network and each evaluate a batch of their own.

This is what torch's ``DistributedDataParallel`` is for. But its reducer averages what
``backward()`` leaves in ``.grad`` and does not see the gradients computed here, so this module
averages losses and gradients itself. The loss is the mean of the processes' losses, which is the
loss of the joint batch if all batches are equally large.
"""

import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from napts.optim import vectors
from napts.optim.communicator import OneProcess, Share

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

_ALIKE = 1e-9
_DDP: frozenset[type] = frozenset([DistributedDataParallel])


class DataParallel:
    """The processes of a group, which average their results.

    Args:
        group: The process group.
    """

    def __init__(self, group: "ProcessGroup") -> None:
        self.group = group
        self.size = group.size()
        self._first = group.rank() == 0
        self._checked = False
        self._device = torch.device("cpu")

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Set tensors to their means over the processes; the same bits on each.

        Args:
            tensors: The same shapes and types on every process. Tensors of one type and device
                travel in one collective.
        """
        for own in vectors.blocks_by_kind(tensors):
            packed = torch.cat([tensor.reshape(-1) for tensor in own])
            self._add(packed)
            packed /= self.size
            for tensor, part in zip(own, packed.split([t.numel() for t in own]), strict=True):
                tensor.copy_(part.view_as(tensor))

    def numbers(self, shares: Sequence[Share]) -> list[float]:
        """Bring numbers to the host, the same on every process, in one collective.

        Losses are averaged; all other numbers are taken from the first process.
        """
        parts = [value / self.size if how == "loss" else value for value, how in shares]
        led = torch.tensor([how != "loss" for _, how in shares])
        like = next((part for part in parts if isinstance(part, Tensor)), None)
        device = self._device if like is None else like.device
        scalars = [torch.as_tensor(part, dtype=torch.float64, device=device) for part in parts]
        packed = torch.stack(scalars)
        if not self._first:
            packed.masked_fill_(led.to(device), 0.0)
        self._add(packed)
        return packed.tolist()

    def check_copies(self, parameters: Sequence[Tensor]) -> None:
        """Check, at the first call, that all processes have the same parameters.

        Raises:
            RuntimeError: If they have not; raised on every process.
        """
        self._device = parameters[0].device
        if self._checked:
            return
        own = sum(vectors.to_host([p.detach().double().square().sum() for p in parameters]))
        count = float(sum(p.numel() for p in parameters))
        rows = torch.zeros(self.size, 2, dtype=torch.float64, device=self._device)
        rows[self.group.rank()] = torch.tensor([own, count], dtype=torch.float64)
        self._add(rows)
        if not all(_alike(row, rows[0].tolist()) for row in rows.tolist()):
            raise RuntimeError(
                "the processes of DistributedDataParallel have different parameters: load the "
                "same weights on each before the first step, and take no step without the wrapper"
            )
        self._checked = True

    def _add(self, packed: Tensor) -> None:
        torch.distributed.all_reduce(packed, group=self.group)


class AveragedNumbers(OneProcess):
    """The communicator of processes that hold the same vectors and have a batch each."""

    def __init__(self, processes: DataParallel) -> None:
        self._processes = processes

    def collect(self, shares: Sequence[Share]) -> list[float]:
        """Bring the numbers to the host; see :meth:`DataParallel.numbers`."""
        return self._processes.numbers(shares)


def check_whole(parameters: Sequence[Tensor]) -> None:
    """Check that no parameter is sharded over processes.

    Raises:
        ValueError: If one is a DTensor, as ``fully_shard`` and tensor parallelism make them, or a
            flat parameter of FullyShardedDataParallel.
    """
    module = sys.modules.get("torch.distributed.tensor")
    kinds: tuple[type, ...] = () if module is None else (module.DTensor,)
    for index, parameter in enumerate(parameters):
        flat = getattr(parameter, "_is_flat_param", False)
        if flat or isinstance(parameter, kinds):
            found = "FlatParameter" if flat else type(parameter).__name__
            raise ValueError(
                f"parameter {index} is sharded over processes ({found}, as "
                "FSDP and tensor parallelism make them), allowed: whole parameters in every "
                "process; wrap the network in DistributedDataParallel, or spread it with "
                "napts.Pipeline"
            )


def wrappers() -> frozenset[type]:
    """Return the classes of modules that represent a network on several processes."""
    # Only where a network is sharded has this module been imported.
    module = sys.modules.get("torch.distributed.fsdp")
    return _DDP if module is None else _DDP | {module.FullyShardedDataParallel}


def called_from() -> DistributedDataParallel | None:
    """Return the wrapper whose ``forward`` is running, as in Lightning's training step."""
    return DistributedDataParallel._active_ddp_module


def _alike(row: Sequence[float], other: Sequence[float]) -> bool:
    return row[1] == other[1] and (
        math.isclose(row[0], other[0], rel_tol=_ALIKE) or not math.isfinite(row[0] + other[0])
    )
