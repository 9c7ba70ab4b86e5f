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
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from benchmarks.problems import METHODS, optimizer, problem
from benchmarks.timing import median_interval, seconds

WORKLOADS = ("mnist-fcnn", "cifar10-cnn")
Row = tuple[float, float, float, Any]
_SHORT = {"radius": 1e-3, "radius_min": 1e-3, "radius_max": 1e-3}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    **{method: (method, {}) for method in METHODS},
    # Steps so short that the first trial is accepted, the case of the paper's cost model.
    "NAPTS T=3": ("NAPTS", {"local_steps": 3, **_SHORT}),
    "NAPTS T=5": ("NAPTS", {"local_steps": 5, **_SHORT}),
    "light": ("light", {}),
}
"""What is measured, by name: a method and its options."""


@dataclass(frozen=True)
class Overhead:
    """What was measured for one method.

    Attributes:
        workload: Name of the workload.
        method: Name of the case.
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


def measure(workload: str, case: str, batch_size: int, threads: int, rounds: int) -> Overhead:
    """Measure one of `CASES` on one workload."""
    on = problem(workload, batch_size, threads)
    method, options = CASES[case]
    method_under_test = optimizer(method, on, **options)
    parameters = list(on.model.parameters())

    def forward() -> None:
        with torch.no_grad():
            on.closure()

    def forward_backward() -> None:
        torch.autograd.grad(on.closure(), parameters)

    for warm_up in (forward, forward_backward, lambda: method_under_test.step(on.closure)):
        warm_up()
    rows: list[Row] = []
    for _ in range(rounds):
        passes = (seconds(forward), seconds(forward_backward))
        step = seconds(lambda: method_under_test.step(on.closure))
        again = (seconds(forward), seconds(forward_backward))
        single, double = (sum(pair) / 2 for pair in zip(passes, again, strict=True))
        r = method_under_test.last_step
        ideal = (r.forwards - r.backwards) * single + (r.backwards + r.local_passes) * double
        rows.append((step, ideal, double, r))
    return summarise(workload, case, rows)


def summarise(workload: str, method: str, rows: Sequence[Row]) -> Overhead:
    """Summarise the steps of one case.

    Args:
        workload: Name of the workload.
        method: Name of the case.
        rows: For every step its time, the ideal time of its passes, the time of one forward and
            backward pass, and its record.
    """
    ratios = [step / ideal for step, ideal, _, _ in rows]
    low, high = median_interval(ratios)
    records = [record for *_, record in rows]
    return Overhead(
        workload=workload,
        method=method,
        rounds=len(rows),
        step_ms=1e3 * statistics.median(step for step, *_ in rows),
        step_over_pass=statistics.median(step / double for step, _, double, _ in rows),
        ratio=statistics.median(ratios),
        low=low,
        high=high,
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


def main() -> None:
    """Print the table, as text or as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workload", choices=WORKLOADS, action="append")
    parser.add_argument("--method", choices=CASES, action="append")
    parser.add_argument("--batch-size", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, help="default: 100 for mnist-fcnn, 7 for cifar10-cnn")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    row = "{:12} {:9} {:>6} {:>10} {:>9} {:>9} {:>15} {:>20}"
    if not given.json:
        header = ("workload", "method", "rounds", "step [ms]", "step/FB", "overhead")
        print(row.format(*header, "95 % interval", "forw./backw./local"))
    for workload in given.workload or WORKLOADS:
        rounds = given.rounds or (100 if workload == "mnist-fcnn" else 7)
        for method in given.method or CASES:
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
