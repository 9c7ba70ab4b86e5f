"""Finite sums: logistic regression on labelled rows, dense or sparse."""

import operator
from abc import abstractmethod
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn
from torch.nn import functional

from napts.optim import Batch
from napts.optim.replicas import ONE_REPLICA, Replicas
from napts.optim.sums import LogisticSum
from napts.optim.sums.rows import as_rows
from napts.problems.minimum import kept_minimum
from napts.problems.problem import Problem, ProblemOptions
from napts.problems.row_samples import RowSamples
from napts.problems.samples import SampleSet
from napts.problems.scaling import Scale, scaled
from napts.problems.tensors import digest

SPARSE_BELOW = 0.25
"""Share of nonzero numbers below which rows are kept sparse by default."""


class Scores(nn.Linear):
    """The linear map of dense or sparse rows to one score each, initially zero."""

    def __init__(self, features: int) -> None:
        super().__init__(features, 1, bias=False)
        nn.init.zeros_(self.weight)

    def forward(self, input: Tensor) -> Tensor:
        """Return the scores ``(n,)`` of rows ``(n, features)``."""
        return as_rows(input) @ self.weight.reshape(-1)


class Logistic(Problem):
    """Logistic regression with a quadratic penalty, a strictly convex finite sum.

    ``L(w) = (1/p) sum_j log(1 + exp(-c_j x_j . w)) + (penalty / 2) |w|^2`` over all samples of a
    data set, labelled -1 or +1. Nothing is held out: validation and testing evaluate the same sum,
    and methods are compared by how close they get to its minimum. ``gap`` is the loss above the
    minimum, which is known to a gradient of 1e-10. It is meaningful down to about 1e-16 in double
    precision (``precision = "float64"`` in a spec), and to 1e-7 in single precision. The start is
    ``w = 0``.

    Attributes:
        features: Number of features, if it is known without the data.
    """

    batch_size, subdomains = "full", 1
    primary = ("gap", "min")
    fractions = ("accuracy",)
    closed_form = True
    features: ClassVar[int | None] = None

    class Options(ProblemOptions):
        """Options of logistic regression.

        Attributes:
            penalty: Factor of the quadratic penalty; None for one over the number of samples (our
                choice; 1e-3 is the default of the authors' code).
            bias: Whether to add a feature that is 1, in place of an intercept; it is penalised like
                all others.
            scale: How each feature is scaled.
            sparse: Whether the rows are kept sparse; with "auto", they are if less than a quarter
                of the numbers are nonzero.
        """

        penalty: PositiveFloat | None = None
        bias: bool = False
        scale: Scale = "none"
        sparse: Literal["auto"] | bool = "auto"

    def __init__(self, options: ProblemOptions | None = None) -> None:
        super().__init__(options)
        self._samples: RowSamples | None = None
        self._sum: LogisticSum | None = None
        self._of: tuple[Any, ...] = ()
        self._minimum: float | None = None

    @abstractmethod
    def table(self, root: Path | None) -> tuple[Tensor, Tensor]:
        """Return inputs ``(p, n)`` in double precision, dense or sparse, and labels -1 or +1."""

    def network(self) -> nn.Module:
        """Return the linear map."""
        if self.features is None:
            return Scores(self._loaded(None).inputs.shape[1])
        return Scores(self.features + self.options.bias)

    def data(self, root: Path | None = None) -> Any:
        """Return the whole set three times."""
        return (self._loaded(root),) * 3

    @property
    def penalty(self) -> float:
        """The factor of the penalty, once the data have been read."""
        chosen = self.options.penalty
        return 1.0 / len(self._loaded(None)) if chosen is None else chosen

    def sum(self, model: nn.Module, samples: tuple[Tensor, Tensor]) -> LogisticSum:
        """Return the loss on a batch as a finite sum; that of the whole set is kept.

        Args:
            model: The network.
            samples: Inputs and labels.
        """
        inputs, labels = samples
        (weight,) = model.parameters()
        of = (weight, inputs, labels)
        if self._sum is not None and all(map(operator.is_, self._of, of)):
            return self._sum
        loss = partial(self.loss, model, samples)
        total = LogisticSum.of([weight], inputs, labels, self.penalty, loss)
        if len(labels) < len(self._loaded(None)):
            return total
        self._of, self._sum = of, total.prepared()
        return self._sum

    def batch(self, model: nn.Module, samples: Any, replicas: Replicas = ONE_REPLICA) -> Batch:
        """Return the loss on a batch as a finite sum."""
        if replicas is not ONE_REPLICA:
            return super().batch(model, samples, replicas)
        return self.sum(model, samples)

    def loss(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Return the mean logistic loss with the penalty."""
        inputs, labels = batch
        (weight,) = model.parameters()
        penalty = 0.5 * self.penalty * weight.square().sum()
        return penalty - functional.logsigmoid(labels * model(inputs)).mean()

    def metrics(self, model: nn.Module, samples: SampleSet) -> dict[str, float]:
        """Return the gap to the minimum, the norm of the gradient, and the accuracy."""
        batch = samples.all()
        total = self.sum(model, batch)
        theta = total.layout.read()
        value, (gradient,) = total.value_and_gradient(theta)
        right = total.rows.times(theta[0]) > 0.0
        return {
            "gap": value - self.minimum,
            "gradient_norm": torch.linalg.vector_norm(gradient).item(),
            "accuracy": right.double().mean().item(),
        }

    @property
    def minimum(self) -> float:
        """The smallest loss on the data that were read, computed at first use."""
        if self._minimum is None:
            samples = self._loaded(None)
            weight = nn.Parameter(torch.zeros(samples.inputs.shape[1], dtype=torch.float64))
            total = LogisticSum.of([weight], samples.inputs, samples.labels, self.penalty)
            total = total.prepared()
            key = digest([torch.tensor(self.penalty, dtype=torch.float64)])
            self._minimum = kept_minimum(total, f"{samples.fingerprint()[0]}-{key}")
        return self._minimum

    def _loaded(self, root: Path | None) -> RowSamples:
        """Return the samples, which are read at first use."""
        if self._samples is None:
            inputs, labels = self.table(root)
            inputs = scaled(inputs, self.options.scale)
            if self.options.bias:
                ones = torch.ones(len(labels), 1, dtype=inputs.dtype)
                inputs = torch.cat([inputs.to_dense(), ones], 1)
            self._samples = RowSamples(_laid_out(inputs, self.options.sparse), labels)
        return self._samples


def _laid_out(inputs: Tensor, sparse: bool | Literal["auto"]) -> Tensor:
    is_sparse = inputs.layout is torch.sparse_csr
    if sparse == "auto":
        filled = inputs.values() if is_sparse else inputs
        sparse = int(filled.count_nonzero()) < SPARSE_BELOW * inputs.shape[0] * inputs.shape[1]
    if sparse == is_sparse:
        return inputs
    return inputs.to_sparse_csr() if sparse else inputs.to_dense()
