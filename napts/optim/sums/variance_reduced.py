"""What stochastic methods with snapshots share: their batches, lengths and counts."""

from collections.abc import Iterator, Mapping
from typing import Any

from napts.optim.sums.inner_batches import InnerBatches, Part
from napts.optim.sums.optimizer import Start, SumOptimizer


class VarianceReduced(SumOptimizer):
    """A method that takes stochastic steps between gradients of all samples, its snapshots.

    One step of the optimizer is a snapshot with the stochastic steps that follow it; the last of
    their iterates is the next snapshot (our choice).
    """

    def _compose(self, options: Mapping[str, Any]) -> None:
        self._batches = InnerBatches(options["batch"], options["draw"])
        self._steps, self._rate = options["snapshot_steps"], float(options["lr"])
        self._smallest: float | None = None

    def _length(self, start: Start) -> float:
        """Return the factor of the gradient in a stochastic step."""
        return self._rate / (start.total.curvature or 1.0)

    def _parts(self, start: Start) -> Iterator[Part]:
        """Yield the batches of the stochastic steps, each counted as two gradients."""
        whole, counts = len(start.total), start.total.counts
        self._smallest = self._batches.size(whole) / whole
        seen = 0
        for part in self._batches.of(start.batch, start.total, self._sampling, self._steps):
            seen += len(part.total)
            yield part
        counts.gradients += 2.0 * seen / whole

    def _share(self) -> float | None:
        return self._smallest
