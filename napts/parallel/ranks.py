"""Joining the ranks of a run: one process each, started by torchrun, by Slurm, or just this one."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

import torch
import torch.distributed as dist

# The defaults of its functions are the group that there is when it is first imported. That would
# keep our group, and its threads, beyond the end of the interpreter, where they crash.
import torch.distributed.nn.functional
from torch import Tensor

from napts.optim import vectors
from napts.parallel.store import all_here, meet, on_loopback
from napts.parallel.watch import RankLost, Watch

TIMEOUT_S = 1800.0
"""A collective that takes longer has failed; a lost rank is noticed long before."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """The ranks of a run, as one of them sees them.

    Attributes:
        rank: Index of this one.
        size: How many there are.
        watch: Knows which ranks are alive; None for a single one.
    """

    rank: int
    size: int
    watch: Watch | None = field(default=None, repr=False)

    @property
    def leads(self) -> bool:
        """Whether this rank reads, writes and decides for all."""
        return self.rank == 0

    def broadcast(self, value: Any = None) -> Any:
        """Return the first rank's value on all ranks.

        Args:
            value: Plain data and tensors on the CPU; the values of other ranks are ignored.
        """
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def gather(self, value: Any) -> list[Any]:
        """Return every rank's value, by rank, on all ranks.

        Args:
            value: Plain data and tensors on the CPU.
        """
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def own(self, count: int) -> range:
        """Return those of ``count`` subdomains that this rank works on, if ranks share them."""
        return range(self.rank, count, self.size)

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Set tensors to their sums over all ranks; the same bits on each.

        Args:
            tensors: The same shapes and types on every rank. Tensors of one type and device travel
                in one collective.
        """
        self._together(tensors, dist.all_reduce)

    def lead(self, tensors: Sequence[Tensor]) -> None:
        """Set tensors to what they are on the first rank; arguments as for :meth:`add`."""
        self._together(tensors, partial(dist.broadcast, src=0))

    def _together(self, tensors: Sequence[Tensor], collective: Callable[[Tensor], Any]) -> None:
        if self.size == 1:
            return
        for own in vectors.blocks_by_kind(tensors):
            packed = torch.cat([tensor.reshape(-1) for tensor in own])
            collective(packed)
            for tensor, part in zip(own, packed.split([t.numel() for t in own]), strict=True):
                tensor.copy_(part.view_as(tensor))

    def lost(self, error: RuntimeError) -> RankLost | None:
        """Return the cause of a collective's error, if it is the loss of another rank.

        Args:
            error: An error raised while ranks worked together.
        """
        if isinstance(error, RankLost):
            return error
        if self.watch is None or not _is_from_a_connection(error):
            return None
        lost = self.watch.who_is_lost()
        return None if lost is None else RankLost(lost)


def _is_from_a_connection(error: RuntimeError) -> bool:
    text = str(error).lower()
    return isinstance(error, dist.DistError) or any(
        word in text for word in ("gloo", "nccl", "connection", "timed out")
    )


ALONE = Ranks(0, 1)
"""The ranks of a process on its own."""


def ranks_in(environment: Mapping[str, str] = os.environ) -> int:
    """Return how many ranks were started together with this process.

    Args:
        environment: Variables as torchrun sets them.
    """
    return int(environment.get("WORLD_SIZE", "1"))


@contextmanager
def join_ranks(
    device: torch.device | None = None, *, alone: bool = False, timeout_s: float = TIMEOUT_S
) -> Iterator[Ranks]:
    """Form the process group of all ranks and leave it at the end.

    Ranks find one another through the variables that torchrun sets (``RANK``, ``WORLD_SIZE``,
    ``MASTER_ADDR``, ``MASTER_PORT``); without them the group has one member.

    Args:
        device: Where the ranks compute: gloo connects them on the CPU, NCCL on CUDA.
        alone: Form a group of this process only, whatever else was started with it.
        timeout_s: Longest time in seconds that a collective waits for the others.

    Yields:
        The ranks. If an exception leaves the block, the other ranks are told.
    """
    place = on_loopback() if alone or all_here() else _nothing()
    with place, _group(device, alone, timedelta(seconds=timeout_s)) as ranks:
        yield ranks


@contextmanager
def _group(device: torch.device | None, alone: bool, timeout: timedelta) -> Iterator[Ranks]:
    cuda = device is not None and device.type == "cuda"
    if cuda:
        torch.cuda.set_device(device)  # where NCCL puts what it gathers
    if "WORLD_SIZE" in os.environ and not alone:
        store, rank, size = meet(timeout)
    else:
        store, rank, size = dist.HashStore(), 0, 1
    dist.init_process_group(
        "nccl" if cuda else "gloo",
        store=dist.PrefixStore("napts", store),
        rank=rank,
        world_size=size,
        timeout=timeout,
        device_id=device if cuda else None,
    )
    watch = Watch(dist.PrefixStore("watch", store), rank, size) if size > 1 else None
    try:
        with watch or _nothing():
            yield Ranks(rank, size, watch)
    finally:
        dist.destroy_process_group()


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def local_rank(environment: Mapping[str, str] = os.environ) -> int:
    """Return this rank's index on this machine, and so the index of its device."""
    return int(environment.get("LOCAL_RANK", "0"))
