"""SVRG's stochastic steps beside the bare products with their rows, of a set like a9a.

    python -m benchmarks.inner_loop [--rounds 30] [--method SVRG]

A hundred stochastic steps on blocks of 325 of 32,561 rows with 123 columns, 14 of which are 1, are
timed against the three products of each step with the same blocks: two with the rows, one with
their columns. Both start after a gradient of all samples, which leaves the caches as it does in a
run, and they take turns; the ratio is that of each round. Times are CPU times of the one thread.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.timing import median_interval

SAMPLES, FEATURES, SET = 32_561, 123, 14
STEPS = 100
LAYOUTS = ("sparse", "dense")


class Inner:
    """Stochastic steps of a method, and the products in them.

    Args:
        layout: ``"sparse"`` or ``"dense"``.
        method: ``"SVRG"`` or ``"SARAH"``.
        options: Of the method.
    """

    def __init__(self, layout: str, method: str = "SVRG", **options: Any) -> None:
        import napts
        from napts.optim.sums import CountedSum, LogisticSum, SumCounts
        from napts.optim.sums.optimizer import Start

        torch.set_num_threads(1)
        inputs, labels = rows()
        inputs = inputs.to_sparse_csr() if layout == "sparse" else inputs
        weight = nn.Parameter(torch.zeros(FEATURES, dtype=torch.float64))
        total = LogisticSum.of([weight], inputs, labels, 1.0 / SAMPLES).prepared()
        self._optimizer: Any = getattr(napts, method)([weight], seed=0, **options)
        for _ in range(12):  # by then almost all blocks have been laid out
            self._optimizer.step(total)
        self._total, self._theta = total, [weight.detach().clone()]
        counted = CountedSum(total, SumCounts())
        self._start = Start(total, counted, self._theta, *total.value_and_gradient(self._theta))
        parts = self._optimizer._batches.of(total, counted, self._optimizer._sampling, STEPS)
        self._rows = [part.total.rows for part in parts]

    def whole(self) -> None:
        """Compute a gradient of all samples."""
        self._total.value_and_gradient(self._theta)

    @torch.no_grad()
    def steps(self) -> None:
        """Take the stochastic steps from the same point."""
        self._optimizer._advance(self._start)

    @torch.no_grad()
    def products(self) -> None:
        """Multiply."""
        (theta,) = self._theta
        for block in self._rows:
            block.times(theta)
            block.transposed_times(block.times(theta), theta, alpha=1.0, beta=1.0)


def rows() -> tuple[Tensor, Tensor]:
    """Return rows ``(32561, 123)`` with 14 ones each, and labels that they tell with noise."""
    generator = torch.Generator().manual_seed(0)
    places = torch.rand(SAMPLES, FEATURES, generator=generator).topk(SET, 1).indices
    inputs = torch.zeros(SAMPLES, FEATURES, dtype=torch.float64).scatter_(1, places, 1.0)
    hidden = torch.randn(FEATURES, generator=generator, dtype=torch.float64)
    noise = torch.randn(SAMPLES, generator=generator, dtype=torch.float64)
    return inputs, torch.where(inputs @ hidden + noise > 0.0, 1.0, -1.0).double()


class InnerLoop:
    """asv: the stochastic steps between two snapshots, and the bare products."""

    params = (LAYOUTS, ("SVRG", "SARAH"))
    param_names = ("layout", "method")
    timeout = 300

    def setup(self, layout: str, method: str) -> None:
        self._inner = Inner(layout, method)
        self._inner.whole()

    def time_steps(self, layout: str, method: str) -> None:
        self._inner.steps()

    def time_products(self, layout: str, method: str) -> None:
        self._inner.products()


def _cpu_seconds(action: Callable[[], object]) -> float:
    start = time.process_time()
    action()
    return time.process_time() - start


def main(method: str, rounds: int) -> None:
    """Print the times and their ratios."""
    print(f"{method}, {STEPS} steps, one thread, torch {torch.__version__}, n = {rounds} rounds")
    for layout in LAYOUTS:
        for draw in ("blocks", "reshuffled", "independent"):
            inner = Inner(layout, method, draw=draw)
            pairs = []
            for _ in range(rounds):
                inner.whole()
                products = _cpu_seconds(inner.products)
                inner.whole()
                pairs.append((_cpu_seconds(inner.steps), products))
            steps, products = (1e3 * statistics.median(found) for found in zip(*pairs, strict=True))
            ratios = [step / product for step, product in pairs]
            low, high = median_interval(ratios)
            print(
                f"  {layout:6} {draw:11} steps {steps:6.2f} ms, products {products:5.2f} ms, "
                f"ratio {statistics.median(ratios):.2f} [{low:.2f}, {high:.2f}]"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", default="SVRG", choices=("SVRG", "SARAH"))
    parser.add_argument("--rounds", type=int, default=30)
    given = parser.parse_args()
    main(given.method, given.rounds)
