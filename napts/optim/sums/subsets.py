"""The subsets of the samples that coarser levels see."""

from collections.abc import Callable, Sequence
from typing import Literal

from torch import Tensor

from napts.optim.batch import Batch
from napts.optim.sums.counts import CountedSum
from napts.optim.sums.finite_sum import FiniteSum
from napts.optim.sums.sampling import Sampling, sample_count
from napts.optim.vectors import Layout

Resample = Literal["cycle", "step", "never"]

Draw = Callable[[], CountedSum]
"""Returns a subset, a new one each time."""


class Subsets:
    """Takes subsets of a sum.

    Args:
        shares: Their shares of the samples, in rising order.
        resample: When they are drawn anew.
        nested: Whether each is part of the next one.
    """

    def __init__(
        self, shares: Sequence[float], resample: Resample = "cycle", *, nested: bool = True
    ) -> None:
        self._shares, self._resample, self._nested = shares, resample, nested
        self._taken: tuple[Batch, Layout, list[FiniteSum]] | None = None

    def of(
        self, batch: Batch, total: CountedSum, sampling: Sampling
    ) -> tuple[list[CountedSum], Draw | None]:
        """Return the subsets, and what redraws the smallest one if each step wants a new one.

        A share of 1 is the sum itself.

        Args:
            batch: What the sum was made of, which identifies it later.
            total: The sum.
            sampling: Draws samples.
        """
        if self._resample == "never":
            return self._kept(batch, total, sampling), None
        subsets = self._draw(total, sampling)
        if self._resample == "cycle":
            return subsets, None
        of = total if len(subsets) == 1 or not self._nested else subsets[1]
        size = len(subsets[0])
        return subsets, lambda: of.take(sampling.draw(len(of), size))

    def _draw(self, total: CountedSum, sampling: Sampling) -> list[CountedSum]:
        if self._nested:
            return nested(total, self._shares, sampling.draw)
        return [nested(total, [share], sampling.draw)[0] for share in self._shares]

    def _kept(self, batch: Batch, total: CountedSum, sampling: Sampling) -> list[CountedSum]:
        """Return those taken before from the same batch and parameters."""
        known = self._taken
        if known is None or known[0] is not batch or known[1] is not total.layout:

            def first(count: int, size: int) -> Tensor:
                return sampling.kept_order(count)[:size]

            taken = nested(total, self._shares, first)
            known = batch, total.layout, [subset.uncounted for subset in taken]
            self._taken = None if total.uncounted.draws else known
        whole = len(total)
        return [
            total if inner is total.uncounted else CountedSum(inner, total.counts, whole)
            for inner in known[2]
        ]


def nested(
    whole: CountedSum, shares: Sequence[float], draw: Callable[[int, int], Tensor]
) -> list[CountedSum]:
    """Return subsets, each of which is part of the next one; the whole itself if a share is 1.

    Args:
        whole: What they are taken from.
        shares: Their shares of the samples, in rising order.
        draw: Returns the numbers of some of the samples, in random order.
    """
    count = len(whole)
    subsets, larger = [], whole
    for share in reversed(shares):
        size = sample_count(share, count)
        if size < len(larger):
            # Consecutive samples of a subset in random order are a random subset of it.
            larger = larger.take(draw(count, size) if larger is whole else slice(0, size))
        subsets.append(larger)
    return subsets[::-1]
