"""Finite sums: the mean of one loss per sample as a function of a vector of parameters.

A closure is evaluated at the current parameters. Methods that sub-sample, differentiate twice and
compare levels need a function instead: ``value(theta)``, ``hessian(theta)``, ``take(samples)``.
"""

from abc import abstractmethod
from collections.abc import Callable

from torch import Tensor

from napts.optim import vectors
from napts.optim.batch import Batch
from napts.optim.replicas import ONE_REPLICA, Replicas
from napts.optim.vectors import Layout, Vector

HessianProduct = Callable[[Vector], Vector]
"""Multiplies the Hessian at one point with vectors."""


class FiniteSum(Batch):
    """The mean of one loss per sample, plus a regulariser, as a function of a vector.

    ``L(theta) = (1/p) sum_j l_j(theta) + R(theta)``. It is a :class:`napts.Batch`, so every
    optimizer accepts it: calling it returns the loss with its graph at the current parameters.

    Vectors are blocks of flat tensors, one for each block of :attr:`layout`. An evaluation may
    leave the parameters at any value: the caller writes them in the end.

    Attributes:
        layout: The parameters that the vectors represent, and their order.
    """

    layout: Layout
    replicas: Replicas = ONE_REPLICA

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    @property
    def draws(self) -> bool:
        """Whether evaluations draw random numbers, so that another object is another function."""
        return False

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of samples ``p``."""

    @abstractmethod
    def __call__(self) -> Tensor:
        """Return the loss, with its graph, at the current parameters."""

    @abstractmethod
    def value(self, theta: Vector) -> float:
        """Return ``L(theta)``; NaN or infinite if the loss is."""

    @abstractmethod
    def value_and_gradient(self, theta: Vector) -> tuple[float, Vector]:
        """Return ``L(theta)`` and its gradient, a vector that nothing else refers to."""

    @abstractmethod
    def hessian(self, theta: Vector) -> HessianProduct:
        """Return what multiplies the Hessian at ``theta``, which is set up once.

        It may still be used after evaluations at other points.
        """

    @abstractmethod
    def take(self, samples: slice | Tensor) -> "FiniteSum":
        """Return the sum of some of the samples, with the regulariser of the whole.

        Args:
            samples: Which ones, as an index into dimension 0: a slice of consecutive samples, or
                their numbers, possibly with repetitions.
        """

    def gradient_change(self, theta: Vector, anchor: Vector) -> Vector:
        """Return ``grad L(theta) - grad L(anchor)``, which costs two gradients."""
        there = self.value_and_gradient(anchor)[1]
        return vectors.subtract(self.value_and_gradient(theta)[1], there)

    def prepared(self) -> "FiniteSum":
        """Return the same sum, prepared for many fast evaluations; most need no preparation."""
        return self

    @property
    def curvature(self) -> float | None:
        """The largest Lipschitz constant of the gradient of one sample's loss, if known.

        It includes the regulariser. Its inverse is the unit of the stochastic methods' learning
        rates (our choice).
        """
        return None
