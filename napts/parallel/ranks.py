"""Joining the ranks of a run: one process each, started by torchrun, by Slurm, or just this one."""

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from napts.parallel.watch import RankLost, Watch

TIMEOUT_S = 1800.0
"""A collective that takes longer has failed; a lost rank is noticed long before that."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """The ranks of a run, as one of them sees them.

    Attributes:
        rank: Index of this one.
        size: How many there are.
        watch: Knows which rank is alive; None for a single one.
    """

    rank: int
    size: int
    watch: Watch | None = field(default=None, repr=False)

    @property
    def leads(self) -> bool:
        """Whether this rank reads, writes and decides for all."""
        return self.rank == 0

    def broadcast(self, value: Any = None) -> Any:
        """Return the first rank's value on all of them.

        Args:
            value: Plain data and tensors on the CPU; what other ranks pass is ignored.
        """
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def gather(self, value: Any) -> list[Any]:
        """Return every rank's value, by rank, on all of them.

        Args:
            value: Plain data and tensors on the CPU.
        """
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    @contextmanager
    def lost_ranks_named(self) -> Iterator[None]:
        """Turn the error by which the loss of another rank shows into one that names it.

        Raises:
            RankLost: Another rank has died or failed.
        """
        try:
            yield
        except RuntimeError as error:
            lost = self.watch.who_is_lost() if self.watch else None
            if lost is None:
                raise
            raise RankLost(lost) from error


def ranks_in(environment: Mapping[str, str] = os.environ) -> int:
    """Return how many ranks were started together with this process.

    Args:
        environment: Variables as torchrun sets them.
    """
    return int(environment.get("WORLD_SIZE", "1"))


@contextmanager
def join_ranks(device: torch.device | None = None, timeout_s: float = TIMEOUT_S) -> Iterator[Ranks]:
    """Form the process group of all ranks and leave it at the end.

    Ranks find one another by the variables that torchrun sets (``RANK``, ``WORLD_SIZE``,
    ``MASTER_ADDR``, ``MASTER_PORT``); without them the group has one member.

    Args:
        device: Where the ranks compute: gloo connects them on the CPU, NCCL on CUDA.
        timeout_s: Longest time in seconds that a collective waits for the others.

    Yields:
        The ranks. An exception that leaves the block is told to the other ranks.
    """
    cuda = device is not None and device.type == "cuda"
    timeout = timedelta(seconds=timeout_s)
    if ranks_in() > 1 and os.environ.get("LOCAL_WORLD_SIZE") == os.environ["WORLD_SIZE"]:
        # All on this machine: nothing has to listen outside it.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    if "WORLD_SIZE" in os.environ:
        store, rank, size = next(iter(dist.rendezvous("env://", timeout=timeout)))
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
    """Return which of this machine's ranks this is, and so which of its devices it takes."""
    return int(environment.get("LOCAL_RANK", "0"))


def host_name() -> str:
    """Return the name of this machine, for messages."""
    return socket.gethostname()
