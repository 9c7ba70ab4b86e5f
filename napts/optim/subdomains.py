"""What a preconditioner needs from a decomposition; implemented in napts.decomposition."""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
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

    def samples(self, size: int) -> list[slice]:
        """Return the samples among ``size``; consecutive turns go through the batch in order.

        A part with more than half of them wraps around to the beginning.
        """
        count = max(1, round(self.fraction * size))
        parts = size // count
        start = self.turn % parts * count if parts > 1 else self.turn * count % size
        around = max(0, start + count - size)
        return [slice(start, start + count - around), *([slice(0, around)] if around else [])]

    def scale(self, size: int) -> float:
        """Return the factor that scales a sum over the part to one over all ``size`` samples."""
        return size / sum(part.stop - part.start for part in self.samples(size))

    def check(self, tensors: Sequence[Tensor]) -> int:
        """Return the number of samples in tensors that are to be cut.

        Raises:
            RuntimeError: If their first dimensions differ.
        """
        shapes = [tuple(tensor.shape) for tensor in tensors]
        if any(shape[:1] != shapes[0][:1] or not shape for shape in shapes):
            listed = " and ".join(map(str, dict.fromkeys(shapes)))
            raise RuntimeError(
                "local_fraction: the input and the output of a stage must have the samples as "
                f"their first dimension, found {listed}"
            )
        return shapes[0][0]

    def cut(self, inputs: Tensor, downstream: Tensor) -> tuple[Tensor, Tensor]:
        """Cut a subdomain's input and downstream gradient, scaled to represent the whole batch.

        Raises:
            RuntimeError: If their first dimensions are not the same.
        """
        size = self.check([inputs, downstream])
        samples = self.samples(size)
        return taken(inputs, samples), taken(downstream, samples) * self.scale(size)


def taken(tensor: Tensor, samples: Sequence[slice]) -> Tensor:
    """Return some samples of a tensor."""
    parts = [tensor[part] for part in samples]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


class CaptureAgainError(RuntimeError):
    """The subdomains run in another way from now on; the pass must be captured again."""


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
    needs. After that, its gradients at changed weights cost only a pass through the subdomain.

    On several ranks an object represents the subdomains of its own rank.
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
        """While this is open, the closure's forward pass fills the caches."""
        ...

    def ask_for_parts(self) -> None:
        """Prepare for local gradients on parts of the batch."""
        ...

    def inspect(self, loss: Tensor) -> None:
        """Examine how a captured loss depends on the subdomains, while its graph exists."""
        ...

    def boundaries(self) -> list[Tensor]:
        """Tensors of the captured pass whose downstream gradients are wanted."""
        ...

    def set_downstream(self, downstream: Sequence[Tensor]) -> None:
        """Cache the gradients of the loss at :meth:`boundaries`."""
        ...

    def compared(self) -> Sequence[int]:
        """Return the subdomains whose gradients must be compared with the global one's blocks.

        Their :meth:`local_gradient` at the captured iterate is then given to :meth:`remainder`.
        """
        ...

    def lacks(self, subdomain: int) -> bool:
        """Tell whether the loss is known to have terms that a subdomain's gradient lacks."""
        ...

    def remainder(
        self, subdomain: int, local: Tensor, whole: Tensor, scale: Tensor
    ) -> Tensor | None:
        """Return the difference between the global gradient's block and a subdomain's gradient.

        Args:
            subdomain: Which one.
            local: Its gradient, flat.
            whole: The block of the global gradient, flat.
            scale: Length of the whole global gradient.

        Returns:
            The difference, or ``None`` if it is rounding.

        Raises:
            CaptureAgainError: If the subdomains run in another way from now on.
        """
        ...

    def local_gradient(
        self, subdomain: int, part: Part | None = None, *, at_iterate: bool = False
    ) -> list[Tensor]:
        """Return eq. (2): the gradient at the current weights with the caches frozen.

        Args:
            subdomain: Which one.
            part: Take only these samples of the cached batch, and estimate the gradient of the
                whole from them.
            at_iterate: The current weights are those of the captured pass; check what can be
                checked.
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
