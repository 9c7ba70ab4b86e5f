"""Regularised logistic regression as a finite sum, analytically and on all samples at once."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from napts.optim.sums.finite_sum import FiniteSum, HessianProduct
from napts.optim.sums.rows import Rows, as_rows
from napts.optim.vectors import Layout, Vector


class LogisticSum(FiniteSum):
    r"""``L(theta) = (1/p) sum_j log(1 + exp(-c_j x_j . theta)) + (penalty/2) |theta|^2``.

    Only a call uses the current parameters, and no evaluation moves them. With
    ``m_j = c_j x_j . theta`` the gradient is ``-(1/p) sum_j sigma(-m_j) c_j x_j + penalty theta``
    and the Hessian is ``(1/p) X^T diag(sigma(m) sigma(-m)) X + penalty I``.

    Args:
        layout: The weights: one block.
        rows: ``c_j x_j``, one for each sample; the loss depends on nothing else.
        penalty: Factor of the regulariser; every subset has that of the whole.
        loss: Computes what a call returns: the same number, evaluated by a network, for example.
            ``None`` uses the rows. Subsets always use their rows.

    Raises:
        ValueError: There is more than one block, or the numbers of weights and columns differ.

    Source: Braglia, Kopanicakova, Krause, arXiv 2006.15602, whose slides drop ``x_j``.
    """

    def __init__(
        self,
        layout: Layout,
        rows: Rows,
        penalty: float,
        loss: Callable[[], Tensor] | None = None,
    ) -> None:
        super().__init__(layout)
        if layout.sizes != [rows.columns]:
            raise ValueError(
                f"found {layout.sizes} weights for {rows.columns} columns, allowed: one block with "
                "a weight for each column"
            )
        self.rows, self.penalty, self._loss = rows, penalty, loss
        self._curvature: float | None = None
        self._prepared: Rows | None = None
        self._here: tuple[Tensor, Tensor] | None = None

    @classmethod
    def of(
        cls,
        weights: Sequence[Tensor],
        inputs: Tensor,
        labels: Tensor,
        penalty: float,
        loss: Callable[[], Tensor] | None = None,
    ) -> "LogisticSum":
        """Return the sum of labelled samples.

        Args:
            weights: The parameters, one number for each column.
            inputs: ``(p, n)``, strided or in the layout ``sparse_csr``.
            labels: ``(p,)``, -1 or +1.
            penalty: Factor of the regulariser.
            loss: See :class:`LogisticSum`.
        """
        with torch.no_grad():
            rows = as_rows(inputs).scaled(labels.to(inputs.dtype))
        return cls(Layout([list(weights)]), rows, penalty, loss)

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.rows)

    def __call__(self) -> Tensor:
        """Return the loss, with its graph, at the current parameters."""
        if self._loss is not None:
            return self._loss()
        weights = torch.cat([weight.reshape(-1) for weight in self.layout.parameters])
        penalty = 0.5 * self.penalty * weights.square().sum()
        return -functional.logsigmoid(self.rows @ weights).mean() + penalty

    def value(self, theta: Vector) -> float:
        """Return ``L(theta)``: one product."""
        return self._value(theta[0], self._margins(theta[0]))

    def value_and_gradient(self, theta: Vector) -> tuple[float, Vector]:
        """Return ``L(theta)`` and its gradient: two products, one after a value there."""
        (weights,) = theta
        margins = self._margins(weights)
        value = self._value(weights, margins)
        gradient = self.rows.transposed_times(
            margins.neg().sigmoid_(), weights, alpha=-1.0 / len(self), beta=self.penalty
        )
        return value, [gradient]

    def hessian(self, theta: Vector) -> HessianProduct:
        """Return what multiplies the Hessian: two products each, and one more at a new point."""
        # Kept for further Hessians, but not for gradients, whose rounding is to depend on nothing
        # that was computed before.
        if self._prepared is None:
            self._prepared = self.rows.prepared()
        rows, penalty = self._prepared, self.penalty
        chances = self._margins(theta[0]).sigmoid()
        curvatures = chances.mul_(1.0 - chances).mul_(1.0 / len(self))

        def product(vector: Vector) -> Vector:
            (direction,) = vector
            weights = rows.times(direction).mul_(curvatures)
            return [rows.transposed_times(weights, direction, alpha=1.0, beta=penalty)]

        return product

    def gradient_change(self, theta: Vector, anchor: Vector) -> Vector:
        """Return ``grad L(theta) - grad L(anchor)``: three products."""
        (here,), (there,) = theta, anchor
        rows = self.rows
        change = rows.times(here).sigmoid_().sub_(rows.times(there).sigmoid_())
        return [
            rows.transposed_times(change, here - there, alpha=1.0 / len(rows), beta=self.penalty)
        ]

    def take(self, samples: slice | Tensor) -> "LogisticSum":
        """Return the sum of some of the samples; dense ones of a slice are not copied."""
        return LogisticSum(self.layout, self.rows.take(samples), self.penalty)

    def prepared(self) -> "LogisticSum":
        """Return the same sum, prepared for many fast products."""
        return LogisticSum(self.layout, self.rows.prepared(), self.penalty, self._loss)

    @property
    def curvature(self) -> float:
        """``max_j |x_j|^2 / 4 + penalty``."""
        if self._curvature is None:
            self._curvature = self.rows.squares().max().item() / 4.0 + self.penalty
        return self._curvature

    def _margins(self, weights: Tensor) -> Tensor:
        """Return ``c_j x_j . theta``, which are kept: an accepted trial's gradient comes next."""
        if self._here is None or not torch.equal(self._here[0], weights):
            self._here = weights.clone(), self.rows.times(weights)
        return self._here[1]

    def _value(self, weights: Tensor, margins: Tensor) -> float:
        squares = torch.dot(weights, weights).mul_(0.5 * self.penalty)
        return squares.sub_(functional.logsigmoid(margins).mean()).item()
