"""The batches of the stochastic steps between two snapshots."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from torch import Tensor

from napts.optim.batch import Batch
from napts.optim.sums.counts import CountedSum
from napts.optim.sums.finite_sum import FiniteSum
from napts.optim.sums.sampling import Sampling
from napts.optim.vectors import Layout

Draw = Literal["blocks", "reshuffled", "independent"]


class Part(NamedTuple):
    """The samples of one stochastic step.

    Attributes:
        total: Their sum.
        weight: Factor on its gradient, or on a change of it, that makes its expectation that of all
            samples; 1 except for blocks of different sizes.
    """

    total: FiniteSum
    weight: float


class InnerBatches:
    """Draws the batches of stochastic steps.

    Args:
        size: Samples of a step; ``None`` for a hundredth of all.
        draw: How they are drawn.
    """

    def __init__(self, size: int | None, draw: Draw) -> None:
        self._size, self._draw = size, draw
        self._of: tuple[Batch, Layout] | None = None
        self._blocks: dict[int, Part] = {}

    def size(self, count: int) -> int:
        """Return how many of the given number of samples a step takes."""
        return max(1, count // 100) if self._size is None else min(self._size, count)

    def of(self, batch: Batch, total: CountedSum, sampling: Sampling, steps: int) -> Iterator[Part]:
        """Yield the batches of the steps between two snapshots; their evaluations are not counted.

        Args:
            batch: What the sum was made of, which identifies it later.
            total: The sum.
            sampling: Draws samples.
            steps: Number of steps.
        """
        whole = total.uncounted
        if self._draw == "blocks":
            return self._drawn_blocks(batch, whole, sampling, steps)
        size = self.size(len(whole))
        if self._draw == "independent":
            draws = (sampling.integers(len(whole), size) for _ in range(steps))
        else:
            draws = _without_replacement(len(whole), size, sampling, steps)
        return (Part(whole.take(samples), 1.0) for samples in draws)

    def _drawn_blocks(
        self, batch: Batch, whole: FiniteSum, sampling: Sampling, steps: int
    ) -> Iterator[Part]:
        count = len(whole)
        blocks = count // self.size(count)
        order = sampling.kept_order(count)
        known = self._of is not None and self._of[0] is batch and self._of[1] is whole.layout
        # With random numbers of its own the loss of another step is another function.
        if not known or whole.draws:
            self._of, self._blocks = (batch, whole.layout), {}
        for index in sampling.integers(blocks, steps).tolist():
            part = self._blocks.get(index)
            if part is None:
                samples = order[index * count // blocks : (index + 1) * count // blocks]
                weight = len(samples) * blocks / count
                part = self._blocks[index] = Part(whole.take(samples).prepared(), weight)
            yield part


def _without_replacement(count: int, size: int, sampling: Sampling, steps: int) -> Iterator[Tensor]:
    order, position = sampling.draw(count, count), 0
    for _ in range(steps):
        if position + size > count:
            order, position = sampling.draw(count, count), 0
        yield order[position : position + size]
        position += size
