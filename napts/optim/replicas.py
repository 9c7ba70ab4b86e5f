"""Processes that each hold a copy of the network and share the work of its subdomains.

Unlike on the ranks of a pipeline (:mod:`napts.optim.communicator`), every vector is whole on every
process. The results of the subdomains are added up. Whatever all processes evaluate is taken from
the first one, so that they make the same decisions even where arithmetic is not reproducible.
"""

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from napts.optim import vectors
from napts.optim.communicator import OneProcess, Share

_ALIKE = 1e-9


class Replicas(Protocol):
    """The processes, as one of them sees them."""

    def own(self, count: int) -> range:
        """Return those of ``count`` subdomains that this process works on."""
        ...

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Set tensors to their sums over all processes; the same bits everywhere."""
        ...

    def lead(self, tensors: Sequence[Tensor]) -> None:
        """Set tensors to what they are on the first process."""
        ...


class OneReplica:
    """A process on its own."""

    def own(self, count: int) -> range:
        """Return all of them."""
        return range(count)

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Do nothing."""

    def lead(self, tensors: Sequence[Tensor]) -> None:
        """Do nothing."""


ONE_REPLICA = OneReplica()


class LedNumbers(OneProcess):
    """The communicator of processes that hold the same vectors: it uses the first one's numbers."""

    def __init__(self, replicas: Replicas) -> None:
        self._replicas = replicas

    def collect(self, shares: Sequence[Share]) -> list[float]:
        """Bring the first process's numbers to the host."""
        numbers = [value for value, _ in shares]
        device = next((v.device for v in numbers if isinstance(v, Tensor)), None)
        known = torch.tensor(vectors.to_host(numbers), dtype=torch.float64, device=device)
        self._replicas.lead([known])
        return known.tolist()


def check_copies(replicas: Replicas, parameters: Sequence[Tensor]) -> None:
    """Check that all processes have the same parameters.

    Raises:
        RuntimeError: If they have not; raised on every process.
    """
    if replicas is ONE_REPLICA:
        return
    own = [sum(vectors.to_host([p.detach().double().square().sum() for p in parameters]))]
    total = torch.tensor([1.0, *own], dtype=torch.float64, device=parameters[0].device)
    replicas.add([total])
    count, squares = total.tolist()
    apart = not math.isclose(squares / count, own[0], rel_tol=_ALIKE)
    anywhere = torch.tensor([float(apart)], dtype=torch.float64, device=parameters[0].device)
    replicas.add([anywhere])
    if anywhere.item():
        raise RuntimeError(
            "the processes have different parameters: build the network with the same random "
            "state (torch.manual_seed) or load the same weights on each, and give every step the "
            "same batch"
        )
