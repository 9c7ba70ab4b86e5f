"""Rows of numbers, one for each sample, dense or sparse, and their products with vectors."""

import warnings
from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

INDEX = torch.int32
"""Type of the indices of sparse rows; products take half as long as with int64."""


with warnings.catch_warnings():
    # Torch says once in a process, of the first such matrix, that the layout is in beta state.
    warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
    torch.zeros(1, 1).to_sparse_csr()


class Rows(ABC):
    """A matrix with one row for each sample; all products use BLAS, on all rows at once.

    Attributes:
        matrix: The matrix.
    """

    matrix: Tensor

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.matrix.shape[0]

    @property
    def columns(self) -> int:
        """Number of columns."""
        return self.matrix.shape[1]

    def times(self, vector: Tensor) -> Tensor:
        """Return the product ``X v``, ``(rows,)``, of a vector ``(columns,)``."""
        return torch.mv(self.matrix, vector)

    @abstractmethod
    def transposed_times(
        self, weights: Tensor, plus: Tensor, *, alpha: float, beta: float
    ) -> Tensor:
        """Return ``alpha X^T w + beta u``, ``(columns,)``.

        Args:
            weights: ``w``, ``(rows,)``.
            plus: ``u``, ``(columns,)``.
            alpha: Factor of the product.
            beta: Factor of what is added to it.
        """

    @abstractmethod
    def scaled(self, factors: Tensor) -> "Rows":
        """Return rows that are each multiplied by a number."""

    @abstractmethod
    def squares(self) -> Tensor:
        """Return the squared 2-norm of each row."""

    @abstractmethod
    def take(self, samples: slice | Tensor) -> "Rows":
        """Return some rows; dense rows of a slice are not copied."""

    @abstractmethod
    def prepared(self) -> "Rows":
        """Return the same rows, prepared for many fast products."""

    def __matmul__(self, vector: Tensor) -> Tensor:
        """Return the product, which can be differentiated any number of times."""
        return _Product.apply(self, vector, True)  # pyright: ignore[reportReturnType]


class DenseRows(Rows):
    """Dense rows.

    Args:
        matrix: ``(rows, columns)``.
    """

    def __init__(self, matrix: Tensor) -> None:
        self.matrix = matrix

    def transposed_times(
        self, weights: Tensor, plus: Tensor, *, alpha: float, beta: float
    ) -> Tensor:
        """Return ``alpha X^T w + beta u``."""
        return torch.addmv(plus, self.matrix.t(), weights, beta=beta, alpha=alpha)

    def scaled(self, factors: Tensor) -> "DenseRows":
        """Return rows that are each multiplied by a number."""
        return DenseRows(self.matrix * factors.unsqueeze(1))

    def squares(self) -> Tensor:
        """Return the squared 2-norm of each row."""
        return torch.linalg.vector_norm(self.matrix, dim=1).square()

    def take(self, samples: slice | Tensor) -> "DenseRows":
        """Return some rows; those of a slice are a view."""
        if isinstance(samples, slice):
            return DenseRows(self.matrix[samples])
        return DenseRows(self.matrix.index_select(0, samples))

    def prepared(self) -> "DenseRows":
        """Return the rows themselves."""
        return self


class SparseRows(Rows):
    """Rows with few nonzero numbers.

    A product with the transposed matrix takes several times as long as one with the matrix, unless
    the transposed matrix is stored as well; :meth:`prepared` does that.

    Args:
        matrix: ``(rows, columns)`` in torch's layout ``sparse_csr``.
        transposed: The transposed matrix in the same layout.
    """

    def __init__(self, matrix: Tensor, transposed: Tensor | None = None) -> None:
        self.matrix = _with_short_indices(matrix)
        self._transposed = transposed

    def transposed_times(
        self, weights: Tensor, plus: Tensor, *, alpha: float, beta: float
    ) -> Tensor:
        """Return ``alpha X^T w + beta u``."""
        if self._transposed is not None:
            return torch.addmv(plus, self._transposed, weights, beta=beta, alpha=alpha)
        added = weights.index_select(0, self._row_of_each).mul_(self.matrix.values())
        return (beta * plus).index_add_(0, self.matrix.col_indices(), added, alpha=alpha)

    def scaled(self, factors: Tensor) -> "SparseRows":
        """Return rows that are each multiplied by a number."""
        values = factors.index_select(0, self._row_of_each).mul_(self.matrix.values())
        return SparseRows(
            _csr(self.matrix.crow_indices(), self.matrix.col_indices(), values, self.columns)
        )

    def squares(self) -> Tensor:
        """Return the squared 2-norm of each row."""
        values = self.matrix.values()
        return values.new_zeros(len(self)).index_add_(0, self._row_of_each, values.square())

    def take(self, samples: slice | Tensor) -> "SparseRows":
        """Return some rows; the numbers of a slice are views."""
        if isinstance(samples, slice):
            return SparseRows(self._between(*samples.indices(len(self))))
        return SparseRows(self._gathered(samples))

    def prepared(self) -> "SparseRows":
        """Return the same rows, with the transposed matrix stored."""
        if self._transposed is not None:
            return self
        return SparseRows(self.matrix, _with_short_indices(self.matrix.t().to_sparse_csr()))

    @cached_property
    def _row_of_each(self) -> Tensor:
        """The row that each number belongs to."""
        ends = self.matrix.crow_indices()
        rows = torch.arange(len(self), dtype=INDEX, device=ends.device)
        return rows.repeat_interleave(ends.diff())

    def _between(self, start: int, stop: int, step: int) -> Tensor:
        if step != 1:
            rows = torch.arange(start, stop, step, device=self.matrix.device)
            return self._gathered(rows)
        ends = self.matrix.crow_indices()[start : max(start, stop) + 1]
        first, last = int(ends[0]), int(ends[-1])
        columns, values = self.matrix.col_indices(), self.matrix.values()
        return _csr(ends - first, columns[first:last], values[first:last], self.columns)

    def _gathered(self, rows: Tensor) -> Tensor:
        ends = self.matrix.crow_indices()
        starts = ends.index_select(0, rows)
        lengths = ends.index_select(0, rows + 1) - starts
        new_ends = torch.zeros(len(rows) + 1, dtype=INDEX, device=ends.device)
        torch.cumsum(lengths, 0, out=new_ends[1:])
        shifts = (starts - new_ends[:-1]).repeat_interleave(lengths)
        places = torch.arange(len(shifts), dtype=INDEX, device=ends.device).add_(shifts)
        columns = self.matrix.col_indices().index_select(0, places)
        values = self.matrix.values().index_select(0, places)
        return _csr(new_ends, columns, values, self.columns)


def as_rows(matrix: Tensor) -> Rows:
    """Return a matrix, strided or in the layout ``sparse_csr``, as rows."""
    return SparseRows(matrix) if matrix.layout is torch.sparse_csr else DenseRows(matrix)


def _csr(ends: Tensor, columns: Tensor, values: Tensor, width: int) -> Tensor:
    size = (len(ends) - 1, width)
    return torch.sparse_csr_tensor(ends, columns, values, size, check_invariants=False)


def _with_short_indices(matrix: Tensor) -> Tensor:
    if matrix.crow_indices().dtype == INDEX:
        return matrix
    ends, columns = matrix.crow_indices().to(INDEX), matrix.col_indices().to(INDEX)
    return _csr(ends, columns, matrix.values(), matrix.shape[1])


class _Product(Function):
    """The product with rows or, transposed, with their columns; each is the other's derivative."""

    @staticmethod
    def forward(ctx: Any, rows: Rows, vector: Tensor, straight: bool) -> Tensor:
        ctx.rows, ctx.straight = rows, straight
        if straight:
            return rows.times(vector)
        nothing = vector.new_zeros(rows.columns)
        return rows.transposed_times(vector, nothing, alpha=1.0, beta=1.0)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (gradient,) = gradients
        return None, _Product.apply(ctx.rows, gradient, not ctx.straight), None
