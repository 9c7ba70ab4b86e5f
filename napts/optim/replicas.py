"""Processes that each hold a copy of the network and share the work of its subdomains.

Other than on the ranks of a pipeline (:mod:`napts.optim.communicator`) every vector is whole on
every process. What subdomains found is added up; after that all processes do the same again.
"""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class Replicas(Protocol):
    """The processes, as one of them sees them."""

    def own(self, count: int) -> range:
        """Return which of ``count`` subdomains this process works on."""
        ...

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Set tensors to their sums over all processes; the same bits everywhere."""
        ...


class OneReplica:
    """A process on its own."""

    def own(self, count: int) -> range:
        """Return all of them."""
        return range(count)

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Do nothing."""


ONE_REPLICA = OneReplica()
