"""asv: what a step counts - the same on every machine, so that a gate can be strict.

    python -m benchmarks.counters

prints them as a table.
"""

from functools import cache
from typing import Any

import torch
import torch.distributed as dist

import napts
from benchmarks.problems import METHODS, SCHWARZ, Problem, optimizer, problem

STEPS = 100
BATCH = 200
WORKLOADS = ("digits-cnn", "mnist-fcnn")
_ALL = (*METHODS, "light")


@cache
def count(workload: str, method: str) -> dict[str, float]:
    """Train for some steps on mini-batches and count."""
    on = problem(workload, 10 * BATCH, learnable=True)
    under_test = optimizer(method, on)
    totals = dict.fromkeys(("forwards", "backwards", "local_passes", "rejections"), 0)
    for step in range(STEPS):
        under_test.step(on.on_part(step, BATCH))
        for name in totals:
            totals[name] += getattr(under_test.last_step, name)
    with torch.no_grad():
        return {**totals, "loss": float(on.closure())}


def count_collectives(method: str, steps: int = 10) -> float:
    """Count the collectives per step of a pipeline; their number is that of any more ranks."""
    on = problem("cifar10-mini", BATCH, learnable=True)
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        pipeline: Any = _pipeline(on)
        communicator, calls = pipeline.communicator, 0
        collect = communicator.collect

        def counted(shares: Any) -> list[float]:
            nonlocal calls
            calls += 1
            return collect(shares)

        communicator.collect = counted
        first = pipeline if method in SCHWARZ else pipeline.groups()
        under_test = getattr(napts, method)(first)
        for _ in range(steps):
            under_test.step(pipeline.batch(on.inputs, on.targets))
    finally:
        dist.destroy_process_group()
    return calls / steps


def _pipeline(on: Problem) -> napts.Pipeline:
    stages = napts.partition_layers(on.model, on.subdomains, example_inputs=on.inputs[:2])
    loss = torch.nn.functional.cross_entropy
    return napts.Pipeline(stages, loss, on.inputs[:2])


class Counters:
    """Passes and rejections of 100 steps, and where they lead to."""

    params = (WORKLOADS, _ALL)
    param_names = ("workload", "method")
    timeout = 600

    def track_forwards(self, workload: str, method: str) -> float:
        return count(workload, method)["forwards"] / STEPS

    def track_backwards(self, workload: str, method: str) -> float:
        return count(workload, method)["backwards"] / STEPS

    def track_local_passes(self, workload: str, method: str) -> float:
        return count(workload, method)["local_passes"] / STEPS

    def track_rejections(self, workload: str, method: str) -> float:
        return count(workload, method)["rejections"]

    def track_final_loss(self, workload: str, method: str) -> float:
        return count(workload, method)["loss"]

    for _track in (track_forwards, track_backwards, track_local_passes):
        _track.unit = "passes/step"  # pyright: ignore[reportFunctionMemberAccess]
    track_rejections.unit = "rejections/100 steps"  # pyright: ignore[reportFunctionMemberAccess]
    track_final_loss.unit = "loss"  # pyright: ignore[reportFunctionMemberAccess]
    del _track


class Collectives:
    """Collectives per step of a network that is spread over ranks."""

    params = METHODS
    param_names = ("method",)
    unit = "collectives/step"
    timeout = 120

    def track_collectives(self, method: str) -> float:
        return count_collectives(method)


def main() -> None:
    """Print the counters."""
    row = "{:13} {:6} {:>9} {:>9} {:>9} {:>11} {:>9} {:>12}"
    print(row.format("workload", "method", "forwards", "backwards", "local", "rejections", "loss",
                     "collectives"))  # fmt: skip
    collectives = {method: f"{count_collectives(method):.1f}" for method in METHODS}
    for workload in WORKLOADS:
        for method in _ALL:
            found = count(workload, method)
            passes = [f"{found[n] / STEPS:.2f}" for n in ("forwards", "backwards", "local_passes")]
            rejections, loss = f"{found['rejections']:.0f}", f"{found['loss']:.4f}"
            last = collectives.get(method, "-")
            print(row.format(workload, method, *passes, rejections, loss, last))


if __name__ == "__main__":
    main()
