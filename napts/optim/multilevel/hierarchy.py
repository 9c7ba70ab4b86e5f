"""A hierarchy of networks as a method sees it, and the loss of a batch on one of them."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from torch import Tensor

from napts.optim.multilevel.time_transfers import InTime
from napts.optim.sums.finite_sum import FiniteSum, HessianProduct
from napts.optim.vectors import Layout, Vector


class Hierarchy(Protocol):
    """Networks of different depth in place of one, the coarsest first.

    Attributes:
        parameters: The trained parameters: those of the finest network, in the order of its layout.
        layouts: Where the parameters of each level are. Blocks that all levels have in the same
            form are the same parameters, whose values are written before every evaluation.
        transfers: Between each level and the next finer one.
        depths: Number of blocks of each level.
        common: How many blocks of a vector all levels have in the same form.
    """

    parameters: list[Tensor]
    layouts: list[Layout]
    transfers: list[InTime]
    depths: list[int]
    common: int

    def at(self, level: int) -> AbstractContextManager[None]:
        """Return what puts the network of a level in place of the finest one."""
        ...

    def follow(self) -> None:
        """Follow the finest network to another device or type.

        Raises:
            ValueError: The trained parameters have changed in another way.
        """
        ...


Place = Callable[[], AbstractContextManager[None]]
"""Returns what puts a level's network in its place."""


class LevelSum(FiniteSum):
    """A sum that is evaluated while the network of a level takes the place of the finest.

    A closure that uses the network then uses that one.

    Args:
        inner: What is evaluated, as a function of the level's parameters.
        place: Puts the network in place.
        common: How many blocks of a vector do not belong to stages.
    """

    def __init__(self, inner: FiniteSum, place: Place, common: int) -> None:
        super().__init__(inner.layout)
        self._inner, self._place, self._common = inner, place, common
        self._known = False

    @property
    def draws(self) -> bool:
        """Whether evaluations draw random numbers."""
        return self._inner.draws

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self._inner)

    def __call__(self) -> Tensor:
        """Return the loss, with its graph, at the current parameters."""
        with self._place():
            return self._inner()

    def value(self, theta: Vector) -> float:
        """Return ``L(theta)``."""
        with self._place():
            return self._inner.value(theta)

    def value_and_gradient(self, theta: Vector) -> tuple[float, Vector]:
        """Return ``L(theta)`` and its gradient.

        Raises:
            ValueError: The loss does not depend on the blocks of this level's network.
        """
        with self._place():
            loss, gradient = self._inner.value_and_gradient(theta)
        if not self._known:
            self._check(gradient)
            self._known = True
        return loss, gradient

    def hessian(self, theta: Vector) -> HessianProduct:
        """Return what multiplies the Hessian at ``theta``."""
        with self._place():
            multiply = self._inner.hessian(theta)

        def product(vector: Vector) -> Vector:
            with self._place():  # it may evaluate the gradient anew
                return multiply(vector)

        return product

    def take(self, samples: slice | Tensor) -> "LevelSum":
        """Return some of the samples, on the same network."""
        return LevelSum(self._inner.take(samples), self._place, self._common)

    def _check(self, gradient: Vector) -> None:
        """Refuse a loss that was not computed through the blocks now in place."""
        stages = gradient[self._common :]
        if all(not stage.any() for stage in stages):
            count = sum(len(parameters) for parameters in self.layout.blocks[self._common :])
            raise ValueError(
                f"found a loss whose gradient is 0 in all {count} parameters of the residual "
                "blocks of one level, allowed: networks whose forward() takes its blocks from "
                "their module list whenever it is called"
            )
