"""Problems of inputs and targets, whose loss and metrics depend only on the network's outputs."""

from collections.abc import Callable, Mapping
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from napts.problems.evaluation import Evaluation, checked_loss, evaluation_mode
from napts.problems.problem import Problem
from napts.problems.samples import EVALUATION_BATCH, SampleSet, samples_in

Sums = dict[str, Tensor]
"""Sums over samples by name, floating-point ones in float64."""


class Supervised(Problem):
    """A problem whose batches are ``(inputs, targets)``.

    A subclass implements :meth:`criterion`, and :meth:`totals` and :meth:`finish` for metrics.
    These need only one pass over a set, wherever the outputs are. ``[pipeline]`` takes only such
    problems.
    """

    def criterion(self, outputs: Any, targets: Any) -> Tensor:
        """Return the mean loss over the samples of a batch.

        Args:
            outputs: The network's outputs for the inputs.
            targets: The batch's targets.
        """
        raise NotImplementedError(f"{self.title}.criterion is missing")

    def totals(self, outputs: Any, targets: Any) -> Mapping[str, Tensor]:
        """Return sums over the samples of a batch, tensors of any shape, for :meth:`finish`.

        They may include the summed ``"loss"``; without it, the mean times the number of samples is
        used. Arguments as for :meth:`criterion`.
        """
        return {}

    def finish(self, totals: Mapping[str, Any], n: int) -> Mapping[str, Any]:
        """Return the metrics.

        Args:
            totals: What :meth:`totals` returned, summed over a whole set: numbers, or tensors on
                the CPU if they have a dimension.
            n: Number of samples.
        """
        return {}

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        """Return the mean loss over the samples of a batch."""
        inputs, targets = batch
        return self.criterion(model(inputs), targets)

    def metrics(self, model: nn.Module, samples: SampleSet) -> Mapping[str, Any]:
        """Return what :meth:`finish` makes from the totals."""
        totals, n = self.sums(lambda inputs, _: model(inputs), samples)
        return self._finished(totals, n)

    @property
    def by_outputs(self) -> bool:
        """Whether loss and metrics depend only on the outputs, and no subclass replaces them."""
        own = type(self)
        return own.loss is Supervised.loss and own.metrics is Supervised.metrics

    def check_pipeline(self) -> None:
        """Check that loss and metrics depend only on the network's outputs."""
        if not self.by_outputs:
            super().check_pipeline()

    def evaluate(
        self, model: nn.Module, samples: SampleSet, *, batch_size: int = EVALUATION_BATCH
    ) -> Evaluation:
        """Return loss and metrics of a whole set in one pass over it; see `Problem.evaluate`."""
        if not self.by_outputs or self.needs_grad:
            return super().evaluate(model, samples, batch_size=batch_size)
        with evaluation_mode(model):
            totals, n = self.sums(lambda inputs, _: model(inputs), samples, batch_size)
        return self.evaluated(totals, n)

    @torch.no_grad()
    def sums(
        self,
        forward: Callable[[Any, Any], Any],
        samples: SampleSet,
        batch_size: int = EVALUATION_BATCH,
    ) -> tuple[Sums, int]:
        """Return the sums over a whole set, including the loss, and the number of samples.

        Args:
            forward: Returns the outputs for inputs and targets of a batch, or None if another rank
                has them; there are no sums then.
            samples: Samples, at least one.
            batch_size: Samples per forward pass.

        Raises:
            ValueError: If the set is empty.
        """
        self.check_not_empty(samples)
        found: Sums = {}
        n = 0
        for inputs, targets in samples.batches(batch_size):
            size = samples_in(inputs)
            n += size
            outputs = forward(inputs, targets)
            if outputs is not None:
                _add(found, self._summed(outputs, targets, size))
        return found, n

    def _summed(self, outputs: Any, targets: Any, size: int) -> Mapping[str, Tensor]:
        totals = self.totals(outputs, targets)
        if "loss" in totals:
            return totals
        loss = checked_loss(f"{self.title}.criterion", self.criterion(outputs, targets))
        return {"loss": loss * size, **totals}

    @final
    def evaluated(self, totals: Mapping[str, Tensor], n: int) -> Evaluation:
        """Return loss and metrics.

        Args:
            totals: The first of what :meth:`sums` returned.
            n: The second.
        """
        return self.evaluation(totals["loss"].item() / n, self._finished(totals, n))

    def _finished(self, totals: Mapping[str, Tensor], n: int) -> Mapping[str, Any]:
        return self.finish({k: t.cpu() if t.dim() else t.item() for k, t in totals.items()}, n)


def _add(found: Sums, totals: Mapping[str, Tensor]) -> None:
    for name, value in totals.items():
        if name not in found:
            exact = torch.float64 if value.is_floating_point() else torch.int64
            found[name] = torch.zeros(value.shape, dtype=exact, device=value.device)
        found[name] += value


class Classification(Supervised):
    """Classes ``0, 1, ...`` by cross-entropy: outputs ``(n, classes)``, targets ``(n,)`` int64."""

    primary = ("accuracy", "max")
    fractions = ("accuracy",)

    def criterion(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy of a batch.

        Args:
            outputs: ``(n, classes)`` logits.
            targets: ``(n,)`` class indices.
        """
        return functional.cross_entropy(outputs, targets)

    def totals(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
        """Return the summed cross-entropy and the number of samples classified correctly."""
        return {
            "loss": functional.cross_entropy(outputs, targets, reduction="sum"),
            "correct": (outputs.argmax(dim=1) == targets).sum(),
        }

    def finish(self, totals: Mapping[str, Any], n: int) -> Mapping[str, Any]:
        """Return the fraction of samples classified correctly, in [0, 1]."""
        return {"accuracy": totals["correct"] / n}


class Regression(Supervised):
    """Numbers by least squares: outputs and targets ``(n, ...)`` of the same shape.

    The loss is the mean over samples and outputs of the squared error. ``rmse`` is its root, in the
    targets' unit, and ``r2`` is the coefficient of determination, ``1 - squared error / squared
    deviation from each output's mean``.
    """

    primary = ("r2", "max")

    def criterion(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean squared error.

        Raises:
            ValueError: If the shapes differ; torch would combine every output with every target.
        """
        if outputs.shape != targets.shape:
            raise ValueError(
                f"{self.title}: found outputs of shape {tuple(outputs.shape)} and targets of shape "
                f"{tuple(targets.shape)}, allowed: the same shape"
            )
        return functional.mse_loss(outputs, targets)

    def totals(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
        """Return squared errors, and the targets' sums and squares by output."""
        exact = targets.double()
        return {
            "error": (outputs.double() - exact).square().sum(),
            "sum": exact.sum(0),
            "squares": exact.square().sum(0),
        }

    def finish(self, totals: Mapping[str, Any], n: int) -> Mapping[str, Any]:
        """Return ``r2`` and ``rmse``.

        Raises:
            ValueError: If all targets of the set are equal, so that there is no ``r2``.
        """
        sums, squares = (torch.as_tensor(totals[name]) for name in ("sum", "squares"))
        deviation = (squares - sums.square() / n).sum().item()
        if not deviation > 0:
            raise ValueError(f"{self.title}: r2 has no meaning if all {n} targets are equal")
        error, outputs = totals["error"], sums.numel()
        return {"r2": 1 - error / deviation, "rmse": (error / (n * outputs)) ** 0.5}
