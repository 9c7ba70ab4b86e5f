"""Who holds which blocks of a vector, and how numbers about the whole vector come about.

A method's code is the same on one process and on many: a rank computes its *share* of a number
from its own blocks, and a communicator combines the shares of all ranks. Every rank receives the
same numbers and therefore takes the same decisions.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

from torch import Tensor

from napts.optim.vectors import Norm, to_host

Combine = Literal["sum", "root", "max"]
"""How shares combine: their sum, the root of the sum of their squares, or the largest."""

Share = tuple[Tensor | float, Combine]
"""A rank's share; a float is known to all ranks already."""


class Communicator(Protocol):
    """Combines the shares of all ranks."""

    @property
    def size(self) -> int:
        """Number of ranks."""
        ...

    def collect(self, shares: Sequence[Share]) -> list[float]:
        """Combine shares and bring the results to the host, all in one transfer.

        Args:
            shares: The same number and kinds of them on every rank.

        Returns:
            The combined numbers, the same on every rank.
        """
        ...


class OneProcess:
    """The communicator of a process that holds everything: its shares are the numbers."""

    size = 1

    def collect(self, shares: Sequence[Share]) -> list[float]:
        """Bring the numbers to the host in one transfer."""
        return to_host([value for value, _ in shares])


def norm_share(kind: Norm) -> Combine:
    """Return how the norms of a rank's blocks combine to the norm of the whole vector."""
    return "root" if kind == "l2" else "max"
