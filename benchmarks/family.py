"""What exact subdomains, shards and second-order models cost beyond their passes.

    python -m benchmarks.family [--samples 60000] [--rounds 15]

On the network of `mnist-fcnn` with the whole training set as one batch and one thread:

* the time of a step of every case over the ideal time of its passes, as in `benchmarks.overhead`,
  where a subdomain's backward pass counts as what a plain one to its parameters alone takes;
* a trust-region step of the second order with five pairs over one of the first order, in turns;
* steps of six subdomains and of six shards on one process with one thread, on one with two, and on
  two ranks with one each: whether they should run side by side.
"""

import argparse
import json
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import napts
from benchmarks.overhead import Overhead, Row, summarise
from benchmarks.problems import LOSS, Problem, problem
from benchmarks.timing import median_interval, seconds
from napts.optim.objective import Objective
from napts.optim.options import Order
from napts.parallel.launch import start_ranks

WHOLE = 60_000
SUBDOMAINS = (2, 4, 6)
ORDERS: tuple[Order, ...] = (1, 2)
CASES: tuple[tuple[str, int, Order], ...] = (
    *(("TR", 1, order) for order in ORDERS),
    *(("APTSW", count, order) for count in SUBDOMAINS for order in ORDERS),
    *(("APTSD", count, order) for count in SUBDOMAINS for order in ORDERS),
)
"""Method, number of parts, order."""

_WARM_UP = 7
"""Steps before anything is measured: a memory of five pairs is then full."""


def _optimizer(on: Problem, method: str, count: int, order: Order) -> Any:
    if method == "APTSW":
        return napts.APTSW(napts.deal_parameters(on.model, count), order=order)
    parameters = on.model.parameters()
    if method == "APTSD":
        return napts.APTSD(parameters, shards=count, order=order)
    return napts.TR(parameters, norm="inf", order=order, max_tries=1)


def _batch(on: Problem, replicas: Any = None) -> napts.SplitBatch:
    more = () if replicas is None else (replicas,)
    return napts.SplitBatch(lambda x, y: LOSS(on.model(x), y), on.inputs, on.targets, *more)


@contextmanager
def _blocks_differentiated() -> Iterator[list[int]]:
    """Take down the blocks whose gradients are computed."""
    found: list[int] = []
    original = Objective.block_gradient

    def noted(self: Objective, block: int) -> Tensor:
        found.append(block)
        return original(self, block)

    Objective.block_gradient = noted
    try:
        yield found
    finally:
        Objective.block_gradient = original


class _Passes:
    """The times of plain passes, each measured before and after a step."""

    def __init__(self, on: Problem, blocks: Sequence[Sequence[Tensor]]) -> None:
        self._on = on
        self._wanted = [list(on.model.parameters()), *map(list, blocks)]

    def measure(self) -> list[float]:
        """Return the time of a forward, of forward and backward, and of it for each block."""
        return [seconds(self._forward), *(seconds(self._both(of)) for of in self._wanted)]

    def _forward(self) -> None:
        with torch.no_grad():
            self._on.closure()

    def _both(self, of: list[Tensor]) -> Callable[[], object]:
        return lambda: torch.autograd.grad(self._on.closure(), of)


def overhead(method: str, count: int, order: Order, samples: int, rounds: int) -> Overhead:
    """Measure one case.

    Args:
        method: "TR", "APTSW" or "APTSD".
        count: Number of subdomains or shards.
        order: Order of the local models.
        samples: Samples of the batch.
        rounds: Steps.
    """
    on = problem("mnist-fcnn", samples, learnable=True)
    optimizer, batch = _optimizer(on, method, count, order), _batch(on)
    blocks = napts.deal_parameters(on.model, count).tensors if method == "APTSW" else []
    passes = _Passes(on, blocks)
    for _ in range(_WARM_UP):
        optimizer.step(batch)
    passes.measure()
    rows: list[Row] = []
    for _ in range(rounds):
        before = passes.measure()
        with _blocks_differentiated() as local:
            step = seconds(lambda: optimizer.step(batch))
        forward, both, *own = (sum(p) / 2 for p in zip(before, passes.measure(), strict=True))
        record = optimizer.last_step
        whole = record.backwards - len(local)
        ideal = (record.forwards - record.backwards) * forward + whole * both
        rows.append((step, ideal + sum(own[block] for block in local), both, record))
    return summarise("mnist-fcnn", _name(method, count, order), rows)


def _name(method: str, count: int, order: int) -> str:
    return f"{method}({order})" if method == "TR" else f"{method}({count}, {order})"


def second_order(samples: int, rounds: int) -> list[float]:
    """Return step times of TR of order 2, each over that of a step of order 1 beside it."""
    steps = []
    for order in ORDERS:
        on = problem("mnist-fcnn", samples, learnable=True)
        optimizer, batch = _optimizer(on, "TR", 1, order), _batch(on)
        for _ in range(_WARM_UP):
            optimizer.step(batch)
        steps.append(lambda optimizer=optimizer, batch=batch: optimizer.step(batch))
    first, second = steps
    ratios = []
    for _ in range(rounds):
        before, between, after = seconds(first), seconds(second), seconds(first)
        ratios.append(2 * between / (before + after))
    return ratios


def side_by_side(samples: int, rounds: int) -> list[dict[str, Any]]:
    """Return the times of steps of six parts on one thread, two threads and two ranks."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="napts-family-") as folder:
        for threads, count in ((1, 1), (2, 1), (1, 2)):
            path = Path(folder) / f"{threads}-{count}.json"
            options = [f"--samples={samples}", f"--rounds={rounds}", f"--threads={threads}"]
            if start_ranks(count, "benchmarks.family", [*options, f"--worker={path}"]):
                raise SystemExit(1)
            rows.append({"threads": threads, "ranks": count, **json.loads(path.read_text())})
    return rows


def _worker(given: argparse.Namespace) -> None:
    """Measure on one rank; the first one writes the medians in milliseconds."""
    found = {}
    with napts.join_ranks(alone="RANK" not in os.environ) as ranks:
        for method in ("APTSW", "APTSD"):
            on = problem("mnist-fcnn", given.samples, given.threads, learnable=True)
            optimizer, batch = _optimizer(on, method, SUBDOMAINS[-1], 1), _batch(on, ranks)
            optimizer.step(batch)
            times = []
            for _ in range(given.rounds):
                ranks.gather(None)  # all begin together
                times.append(seconds(lambda o=optimizer, b=batch: o.step(b)))
            low, high = median_interval(times)
            numbers = (1e3 * t for t in (statistics.median(times), low, high))
            found[method] = "{:.0f} [{:.0f}, {:.0f}]".format(*numbers)
        if ranks.leads:
            Path(given.worker).write_text(json.dumps(found))


class FamilyOverhead:
    """asv: step time over the ideal time of the passes (lower is better)."""

    params = tuple(_name(*case) for case in CASES)
    param_names = ("case",)
    timeout = 600
    unit = "step time / ideal"

    def track_overhead(self, case: str) -> float:
        chosen = next(each for each in CASES if _name(*each) == case)
        return overhead(*chosen, samples=10_000, rounds=5).ratio


class SecondOrderStep:
    """asv: a step of order 2 over one of order 1 (lower is better)."""

    timeout = 600
    unit = "step time / step time"

    def track_ratio(self) -> float:
        return statistics.median(second_order(10_000, 10))


def main() -> None:
    """Print the tables, as text or as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--samples", type=int, default=WHOLE)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        _worker(given)
        return
    print(f"batch of {given.samples}, n = {given.rounds}, medians [95 % interval]")
    row = "{:12} {:>22} {:>10} {:>9} {:>10}"
    print(row.format("case", "step / ideal", "step [ms]", "forwards", "backwards"))
    for case in CASES:
        found = overhead(*case, given.samples, given.rounds)
        ratio = f"{found.ratio:.3f} [{found.low:.3f}, {found.high:.3f}]"
        counts = (f"{found.forwards:.2f}", f"{found.backwards:.2f}")
        print(row.format(found.method, ratio, f"{found.step_ms:.0f}", *counts), flush=True)
    ratios = second_order(given.samples, given.rounds)
    low, high = median_interval(ratios)
    print(f"\nTR(2) / TR(1): {statistics.median(ratios):.3f} [{low:.3f}, {high:.3f}]\n")
    for found in side_by_side(given.samples, given.rounds):
        print(", ".join(f"{name} {value}" for name, value in found.items()) + " ms")


if __name__ == "__main__":
    main()
