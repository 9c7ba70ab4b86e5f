"""What a preconditioner needs to know of a decomposition; implemented in napts.decomposition."""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from napts.optim.vectors import Norm

Closure = Callable[[], Tensor]


def share_of_radius(norm: Norm, radius: float, subdomains: int) -> float:
    """Return how long the step of one of several subdomains may be.

    In the 2-norm ``radius / sqrt(N)``, so that the lifted step of ``N`` subdomains is no longer
    than the radius; in the infinity norm the radius itself.
    """
    return radius / math.sqrt(subdomains) if norm == "l2" else radius


@dataclass(frozen=True, slots=True)
class Part:
    """Which samples of a cached batch a local step uses: a new part at every step.

    Attributes:
        fraction: Share of the samples, in (0, 1].
        turn: Number of the local pass in its iteration, from 0.
    """

    fraction: float
    turn: int

    def samples(self, size: int) -> slice:
        """Return the samples among ``size``; consecutive turns go through the batch in order."""
        count = max(1, round(self.fraction * size))
        start = self.turn % (size // count) * count
        return slice(start, start + count)

    def cut(self, inputs: Tensor, downstream: Tensor) -> tuple[Tensor, Tensor]:
        """Cut a subdomain's input and downstream gradient, scaled to stand for the whole batch.

        Raises:
            RuntimeError: If their first dimensions are not the same.
        """
        size = inputs.shape[0]
        if downstream.shape[0] != size:
            raise RuntimeError(
                "local_fraction: the input and the output of a stage must have the samples as "
                f"first dimension, found {tuple(inputs.shape)} and {tuple(downstream.shape)}"
            )
        samples = self.samples(size)
        scale = size / (samples.stop - samples.start)
        return inputs[samples], downstream[samples] * scale


@runtime_checkable
class ParameterSets(Protocol):
    """Disjoint sets of parameters; implemented in napts.decomposition."""

    @property
    def parameter_sets(self) -> Sequence[Sequence[Tensor]]:
        """The parameters of each subdomain."""
        ...


@runtime_checkable
class Decomposition(ParameterSets, Protocol):
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

    def capture(self) -> AbstractContextManager[None]:
        """While it is open, the closure's forward pass fills the caches."""
        ...

    def boundaries(self) -> list[Tensor]:
        """Tensors of the captured pass at which the downstream gradients are wanted."""
        ...

    def set_downstream(self, gradients: Sequence[Tensor]) -> None:
        """Cache the gradients of the loss at :meth:`boundaries`."""
        ...

    def local_gradient(self, subdomain: int, part: Part | None = None) -> list[Tensor]:
        """Return eq. (2): the gradient at the present weights with the caches frozen.

        Args:
            subdomain: Which one.
            part: Take only these samples of the cached batch, and estimate the gradient of the
                whole from them.
        """
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
