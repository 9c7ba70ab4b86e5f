"""What a preconditioner needs to know of a decomposition; implemented in napts.decomposition."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

Closure = Callable[[], Tensor]


@runtime_checkable
class Decomposition(Protocol):
    """Disjoint sets of parameters, and a gradient for each that needs nothing from the others.

    NAPTS section 2.1: during one global forward and backward pass every subdomain caches what it
    needs; after that its gradients at changed weights cost a pass through itself alone.

    On several ranks an object stands for the subdomains of its own rank.
    """

    @property
    def total(self) -> int:
        """Number of subdomains of all ranks."""
        ...

    @property
    def holds_last(self) -> bool:
        """Whether the last subdomain is on this rank."""
        ...

    @property
    def parameter_sets(self) -> Sequence[Sequence[Tensor]]:
        """The parameters of each subdomain."""
        ...

    def capture(self) -> AbstractContextManager[None]:
        """While it is open, the closure's forward pass fills the caches."""
        ...

    def boundaries(self) -> list[Tensor]:
        """Tensors of the captured pass at which the downstream gradients are wanted."""
        ...

    def set_downstream(self, gradients: Sequence[Tensor]) -> None:
        """Cache the gradients of the loss at :meth:`boundaries`."""
        ...

    def local_gradient(self, subdomain: int) -> list[Tensor]:
        """Return eq. (2): the gradient at the present weights with the caches frozen."""
        ...

    def exact_gradient_of_last(self, closure: Any) -> list[Tensor]:
        """Return the last subdomain's gradient of the loss itself, its input frozen.

        Args:
            closure: What the optimizer's ``step`` was given.
        """
        ...

    def release(self) -> None:
        """Drop the caches."""
        ...
