"""Step time over the cost of the passes that the step counts, both measured in one run.

    python -m benchmarks.overhead [--workload mnist-fcnn] [--batch-size 1000] [--threads 1]

The ideal time of a step is ``(forwards - backwards) * F + (backwards + local passes) * FB`` with
``F`` the time of a forward pass without a graph and ``FB`` that of a forward and backward pass of
plain torch. Each round times the plain passes before and after one step and takes their mean, so
that a busy machine slows both; a method's overhead is the median over the rounds of (step time /
ideal time of that round).
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch
from scipy.stats import bootstrap

from benchmarks.problems import METHODS, Problem, optimizer, problem

WORKLOADS = ("mnist-fcnn", "cifar10-cnn")


@dataclass(frozen=True)
class Overhead:
    """What was measured for one method.

    Attributes:
        workload: Name of the workload.
        method: Name of the method.
        rounds: Steps measured.
        step_ms: Median time of a step in milliseconds.
        step_over_pass: Median of step time over the time of one forward and backward pass.
        ratio: Median of step time over the ideal time of its passes.
        low: Lower end of the 95 % bootstrap interval of that median.
        high: Upper end.
        forwards: Forward passes per step, mean.
        backwards: Backward passes per step, mean.
        local_passes: Local passes per step, mean.
    """

    workload: str
    method: str
    rounds: int
    step_ms: float
    step_over_pass: float
    ratio: float
    low: float
    high: float
    forwards: float
    backwards: float
    local_passes: float


def _seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def measure(workload: str, method: str, batch_size: int, threads: int, rounds: int) -> Overhead:
    """Measure one method on one workload."""
    on = problem(workload, batch_size, threads)
    method_under_test = optimizer(method, on)
    parameters = list(on.model.parameters())

    def forward() -> None:
        with torch.no_grad():
            on.closure()

    def forward_backward() -> None:
        torch.autograd.grad(on.closure(), parameters)

    for warm_up in (forward, forward_backward, lambda: method_under_test.step(on.closure)):
        warm_up()
    rows = []
    for _ in range(rounds):
        passes = (_seconds(forward), _seconds(forward_backward))
        step = _seconds(lambda: method_under_test.step(on.closure))
        again = (_seconds(forward), _seconds(forward_backward))
        single, double = (sum(pair) / 2 for pair in zip(passes, again, strict=True))
        rows.append((step, single, double, method_under_test.last_step))
    return _summary(workload, method, rows)


def _summary(workload: str, method: str, rows: list) -> Overhead:
    ratios = [
        step / ((r.forwards - r.backwards) * single + (r.backwards + r.local_passes) * double)
        for step, single, double, r in rows
    ]
    interval = bootstrap(
        (ratios,), np.median, rng=np.random.default_rng(0), method="percentile"
    ).confidence_interval
    records = [row[3] for row in rows]
    return Overhead(
        workload=workload,
        method=method,
        rounds=len(rows),
        step_ms=1e3 * statistics.median(row[0] for row in rows),
        step_over_pass=statistics.median(step / double for step, _, double, _ in rows),
        ratio=statistics.median(ratios),
        low=float(interval.low),
        high=float(interval.high),
        forwards=statistics.mean(r.forwards for r in records),
        backwards=statistics.mean(r.backwards for r in records),
        local_passes=statistics.mean(r.local_passes for r in records),
    )


class StepOverhead:
    """asv: overhead ratio of every method at batch 1000 (lower is better)."""

    params = (WORKLOADS, METHODS)
    param_names = ("workload", "method")
    timeout = 1200
    unit = "step time / ideal"

    def track_overhead(self, workload: str, method: str) -> float:
        rounds = 30 if workload == "mnist-fcnn" else 3
        return measure(workload, method, batch_size=1000, threads=1, rounds=rounds).ratio


class StepTime:
    """asv: wall time of one step, and the passes it pays for."""

    params = (("mnist-fcnn", "cifar10-mini"), METHODS)
    param_names = ("workload", "method")
    timeout = 300
    _on: Problem

    def setup(self, workload: str, method: str) -> None:
        self._on = problem(workload, batch_size=200, threads=1)
        self._optimizer = optimizer(method, self._on)
        self._optimizer.step(self._on.closure)

    def time_step(self, workload: str, method: str) -> None:
        self._optimizer.step(self._on.closure)

    def _after_twenty_steps(self, count: str) -> float:
        total = 0
        for _ in range(20):
            self._optimizer.step(self._on.closure)
            total += getattr(self._optimizer.last_step, count)
        return total / 20

    def track_forwards(self, workload: str, method: str) -> float:
        return self._after_twenty_steps("forwards")

    def track_backwards(self, workload: str, method: str) -> float:
        return self._after_twenty_steps("backwards")

    def track_rejections(self, workload: str, method: str) -> float:
        return self._after_twenty_steps("rejections")


def main() -> None:
    """Print the table, as text or as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workload", choices=WORKLOADS, action="append")
    parser.add_argument("--method", choices=METHODS, action="append")
    parser.add_argument("--batch-size", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, help="default: 100 for mnist-fcnn, 7 for cifar10-cnn")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    row = "{:12} {:6} {:>6} {:>10} {:>9} {:>9} {:>15} {:>20}"
    if not given.json:
        header = ("workload", "method", "rounds", "step [ms]", "step/FB", "overhead")
        print(row.format(*header, "95 % interval", "forw./backw./local"))
    for workload in given.workload or WORKLOADS:
        rounds = given.rounds or (100 if workload == "mnist-fcnn" else 7)
        for method in given.method or METHODS:
            found = measure(workload, method, given.batch_size, given.threads, rounds)
            if given.json:
                print(json.dumps(asdict(found)), flush=True)
                continue
            passes = f"{found.forwards:.2f}/{found.backwards:.2f}/{found.local_passes:.0f}"
            numbers = (f"{found.step_ms:.1f}", f"{found.step_over_pass:.2f}", f"{found.ratio:.3f}")
            interval = f"[{found.low:.3f}, {found.high:.3f}]"
            print(
                row.format(workload, method, found.rounds, *numbers, interval, passes), flush=True
            )


if __name__ == "__main__":
    main()
