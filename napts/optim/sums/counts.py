"""What evaluations of a finite sum cost, in units of one evaluation of all samples."""

from dataclasses import dataclass

from torch import Tensor

from napts.optim.sums.finite_sum import FiniteSum, HessianProduct
from napts.optim.vectors import Vector


@dataclass(slots=True)
class SumCounts:
    """Evaluations, each weighted by the share of the samples that it sees (our choice).

    The sources do not define their "effective gradient evaluations". Here one unit is as many
    component gradients as the whole sum has samples, including those of line searches.

    Attributes:
        values: Values without a gradient.
        gradients: Gradients, with their values.
        hessians: Hessians that were set up to be multiplied.
        products: Hessian-vector products.
        cg_iterations: The same, each counted as one whatever its share of the samples.
    """

    values: float = 0.0
    gradients: float = 0.0
    hessians: float = 0.0
    products: float = 0.0
    cg_iterations: int = 0

    @property
    def forwards(self) -> float:
        """Values, including those that come with a gradient: forward passes through the samples."""
        return self.values + self.gradients

    @property
    def backwards(self) -> float:
        """Gradients: backward passes through the samples."""
        return self.gradients


class CountedSum(FiniteSum):
    """A finite sum whose evaluations, and those of its subsets, are counted.

    Args:
        inner: What is evaluated.
        counts: Where its evaluations are counted.
        whole: Number of samples that count as one; ``None`` for that of the sum, which then need
            not be known until some are taken.

    Attributes:
        counts: As given.
    """

    def __init__(self, inner: FiniteSum, counts: SumCounts, whole: int | None = None) -> None:
        super().__init__(inner.layout)
        self.counts = counts
        self._inner, self._whole = inner, whole

    @property
    def uncounted(self) -> FiniteSum:
        """What is evaluated, without counts."""
        return self._inner

    @property
    def share(self) -> float:
        """Share of the samples that it sees, and weight of an evaluation."""
        return 1.0 if self._whole is None else len(self) / self._whole

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self._inner)

    def __call__(self) -> Tensor:
        """Return the loss at the current parameters, uncounted: callers count their own passes."""
        return self._inner()

    def value(self, theta: Vector) -> float:
        """Return ``L(theta)``."""
        self.counts.values += self.share
        return self._inner.value(theta)

    def value_and_gradient(self, theta: Vector) -> tuple[float, Vector]:
        """Return ``L(theta)`` and its gradient."""
        self.counts.gradients += self.share
        return self._inner.value_and_gradient(theta)

    def hessian(self, theta: Vector) -> HessianProduct:
        """Return what multiplies the Hessian at ``theta``; every product is counted."""
        share, counts, multiply = self.share, self.counts, self._inner.hessian(theta)
        counts.hessians += share

        def product(vector: Vector) -> Vector:
            counts.products += share
            counts.cg_iterations += 1
            return multiply(vector)

        return product

    def take(self, samples: slice | Tensor) -> "CountedSum":
        """Return some of the samples, counted in the same place."""
        whole = len(self) if self._whole is None else self._whole
        return CountedSum(self._inner.take(samples), self.counts, whole)

    def gradient_change(self, theta: Vector, anchor: Vector) -> Vector:
        """Return the change of the gradient: two gradients, however it is found."""
        self.counts.gradients += 2.0 * self.share
        return self._inner.gradient_change(theta, anchor)

    def prepared(self) -> "CountedSum":
        """Return the same sum, prepared for many evaluations and counted in the same place."""
        return CountedSum(self._inner.prepared(), self.counts, self._whole)

    @property
    def curvature(self) -> float | None:
        """The largest Lipschitz constant of the gradient of one sample's loss."""
        return self._inner.curvature
