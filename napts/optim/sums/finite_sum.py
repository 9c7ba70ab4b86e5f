"""Finite sums: the mean of one loss per sample as a function of a vector of parameters.

A closure is evaluated where the parameters stand. What sub-samples, differentiates twice and
compares levels wants a function instead: ``value(theta)``, ``hessian(theta)``, ``take(samples)``.
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

    ``L(theta) = (1/p) sum_j l_j(theta) + R(theta)``. It is a :class:`napts.Batch`, so that every
    optimizer takes it: called, it is the loss with its graph, where the parameters stand.

    Vectors are blocks of flat tensors, one for each block of :attr:`layout`. Where an evaluation
    leaves the parameters is not said: who uses it writes them in the end.

    Attributes:
        layout: Whose parameters the vectors stand for, and in which order.
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
        """Return the loss, with its graph, where the parameters stand."""

    @abstractmethod
    def value(self, theta: Vector) -> float:
        """Return ``L(theta)``; NaN or infinite where the loss is."""

    @abstractmethod
    def value_and_gradient(self, theta: Vector) -> tuple[float, Vector]:
        """Return ``L(theta)`` and its gradient, a vector that nobody else holds."""

    @abstractmethod
    def hessian(self, theta: Vector) -> HessianProduct:
        """Return what multiplies the Hessian at ``theta``, which is set up once.

        It may be used after evaluations elsewhere, too.
        """

    @abstractmethod
    def take(self, samples: slice | Tensor) -> "FiniteSum":
        """Return the sum of some of the samples, its regulariser that of the whole.

        Args:
            samples: Which ones, as an index of dimension 0: a slice of consecutive samples, or
                their numbers, of which some may be the same.
        """

    def gradient_change(self, theta: Vector, anchor: Vector) -> Vector:
        """Return ``grad L(theta) - grad L(anchor)``, which costs two gradients."""
        there = self.value_and_gradient(anchor)[1]
        return vectors.subtract(self.value_and_gradient(theta)[1], there)

    def prepared(self) -> "FiniteSum":
        """Return the same sum, with what makes many evaluations fast; most have nothing to do."""
        return self

    @property
    def curvature(self) -> float | None:
        """The largest Lipschitz constant of the gradient of one sample's loss, where it is known.

        It has the regulariser in it. Its inverse is the unit of the learning rates of stochastic
        methods (our choice).
        """
        return None
