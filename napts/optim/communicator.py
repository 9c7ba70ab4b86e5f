"""Who holds which blocks of a vector, and how numbers about the whole vector are formed.

A method's code is the same on one process and on many: a rank computes its *share* of a number
from its own blocks, and a communicator combines the shares of all ranks. Every rank receives the
same numbers and therefore makes the same decisions.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

from torch import Tensor

from napts.optim import vectors
from napts.optim.vectors import Norm, Vector

Combine = Literal["sum", "root", "max", "loss"]
"""How shares combine: as their sum, the root of the sum of their squares, or their maximum. A loss
is summed over the ranks of a pipeline, and averaged over processes that each have their own
batch."""

Share = tuple[Tensor | float, Combine]
"""A rank's share: one number, or one per block; a float is known to all ranks already."""


class Communicator(Protocol):
    """Combines the shares of all ranks.

    Attributes:
        size: Number of ranks.
        spread: Whether shares must still be combined, whatever the number of ranks.
    """

    size: int
    spread: bool

    def norm(self, vector: Vector, kind: Norm) -> Tensor | float:
        """Return this rank's share of a vector's norm."""
        ...

    def dot(self, first: Vector, second: Vector) -> Tensor | float:
        """Return this rank's share of an inner product."""
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
    """The communicator of a process that holds everything: its shares are the numbers.

    On the CPU they are read at once; elsewhere they stay on their device until :meth:`collect`.
    """

    size = 1
    spread = False

    def norm(self, vector: Vector, kind: Norm) -> Tensor | float:
        """Return a vector's norm."""
        return vectors.norm(vector, kind)

    def dot(self, first: Vector, second: Vector) -> Tensor | float:
        """Return an inner product."""
        return vectors.dot(first, second)

    def collect(self, shares: Sequence[Share]) -> list[float]:
        """Bring the numbers to the host in one transfer."""
        return vectors.to_host([value for value, _ in shares])


ONE_PROCESS = OneProcess()


def norm_share(kind: Norm) -> Combine:
    """Return how the norms of a rank's blocks combine to the norm of the whole vector."""
    return "root" if kind == "l2" else "max"
