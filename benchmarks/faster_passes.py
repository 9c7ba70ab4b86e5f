"""What a step costs with cheaper passes, as a share of what it costs without.

    python -m benchmarks.faster_passes [--workload cifar10-mini] [--batch-size 200] [--rounds 15]

Channels-last, bfloat16 autocast and `torch.compile`, alone and together, as ``[execution]`` sets
them. In every round each variant takes one step, in turn; a ratio is the median over the rounds of
(CPU time of its step / CPU time of the plain one in that round), one thread, with a 95 % bootstrap
interval. Steps are so short that every first trial is accepted: all variants count the same passes.
What compiling takes, with nothing in torch's caches, is in the first step, which is said apart.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.compiler.config
from torch import Tensor

from benchmarks.problems import SHAPES, Problem, get_workload, optimizer, problem
from benchmarks.timing import median_interval

CHEAPER: dict[str, dict[str, Any]] = {
    "plain": {},
    "channels-last": {"channels_last": True},
    "bfloat16": {"autocast": "bfloat16"},
    "compiled": {"compile": True},
    "channels-last, bfloat16": {"channels_last": True, "autocast": "bfloat16"},
    "all three": {"channels_last": True, "autocast": "bfloat16", "compile": True},
}
_SHORT = {"radius": 1e-3, "radius_min": 1e-3, "radius_max": 1e-3}
METHODS: dict[str, dict[str, Any]] = {"Adam": {}, "TR": _SHORT, "NAPTS": _SHORT, "light": _SHORT}
WITH_CONVOLUTIONS = ("digits-cnn", "cifar10-mini", "cifar10-cnn")
"""Workloads whose networks have a use for channels-last."""


@dataclass(frozen=True)
class OwnData(Problem):
    """A problem on a batch of its own training data."""

    named: Any

    def closure(self) -> Tensor:
        """Return the loss of the batch."""
        return self.named.loss(self.model, (self.inputs, self.targets))


def problem_of(workload: str, batch_size: int) -> Problem:
    """Return a problem on random images where it takes such, else on its own data."""
    if workload in SHAPES:
        return problem(workload, batch_size, learnable=True)
    torch.set_num_threads(1)
    named = get_workload(workload)
    inputs, targets = next(iter(named.load().train.batches(batch_size)))
    return OwnData(named.build_model(0), inputs, targets, named.subdomains, named)


def stepper(method: str, on: Problem, execution: dict[str, Any]) -> Callable[[], None]:
    """Return what takes one step of a method on a problem, with cheaper passes.

    Args:
        method: One of `METHODS`.
        on: The problem, for this alone.
        execution: What is asked of the passes.
    """
    # Not at the top: older revisions lack it.
    from napts.experiment.spec.execution import Execution
    from napts.experiment.training_calls import train_through

    asked = Execution(**execution)
    if asked.channels_last:
        on.model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        inputs = on.inputs.contiguous(memory_format=torch.channels_last)
        on = replace(on, inputs=inputs)
    under_test = optimizer(method, on, **METHODS[method])
    train_through(on.model, asked, on.inputs[:2], "cpu")
    return lambda: under_test.step(on.closure)


def cpu_seconds(action: Callable[[], object]) -> float:
    """Return the CPU time of this process for doing something once."""
    start = time.process_time()
    action()
    return time.process_time() - start


def measure(
    workload: str, method: str, batch_size: int, rounds: int
) -> dict[str, tuple[list[float], float]]:
    """Return for each variant the CPU seconds of its steps, and the seconds before them.

    Args:
        workload: Name of the workload.
        method: One of `METHODS`.
        batch_size: Samples of the batch.
        rounds: Steps of each variant.
    """
    cheaper = CHEAPER
    if workload not in WITH_CONVOLUTIONS:
        cheaper = {k: v for k, v in CHEAPER.items() if not v.get("channels_last")}
        cheaper["bfloat16, compiled"] = {"autocast": "bfloat16", "compile": True}
    steps, first = {}, {}
    for name, execution in cheaper.items():
        torch.compiler.reset()
        on = problem_of(workload, batch_size)
        start = time.perf_counter()
        steps[name] = stepper(method, on, execution)
        steps[name]()
        first[name] = time.perf_counter() - start
        steps[name]()
    found: dict[str, list[float]] = {name: [] for name in cheaper}
    for _ in range(rounds):
        for name, step in steps.items():
            found[name].append(cpu_seconds(step))
    return {name: (found[name], first[name]) for name in cheaper}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workload", default="cifar10-mini")
    parser.add_argument("--batch-size", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--method", choices=METHODS, action="append")
    arguments = parser.parse_args()
    torch.compiler.config.force_disable_caches = True
    print(
        f"{arguments.workload}, batch {arguments.batch_size}, one thread, n = {arguments.rounds} "
        f"steps each, torch {torch.__version__}, {platform.machine()}"
    )
    print("| method | passes | ms a step | of plain [95 %] | first step, s |")
    print("|---|---|---:|---:|---:|")
    for method in arguments.method or METHODS:
        rows = measure(arguments.workload, method, arguments.batch_size, arguments.rounds)
        plain = rows["plain"][0]
        for name, (seconds, first) in rows.items():
            ratios = [mine / theirs for mine, theirs in zip(seconds, plain, strict=True)]
            low, high = median_interval(ratios)
            ratio = f"{statistics.median(ratios):.2f} [{low:.2f}, {high:.2f}]"
            milliseconds = 1e3 * statistics.median(seconds)
            print(f"| {method} | {name} | {milliseconds:.1f} | {ratio} | {first:.1f} |", flush=True)


class AutocastStep:
    """asv: a step under autocast, with images in channels-last order."""

    params = (("cifar10-mini",), ("TR", "NAPTS", "Adam"))
    param_names = ("workload", "method")
    number = 1
    warmup_time = 0.0
    repeat = (3, 20, 1.0)
    timeout = 300

    def setup(self, workload: str, method: str) -> None:
        execution = CHEAPER["channels-last, bfloat16"]
        try:
            self._step = stepper(method, problem(workload, 200, learnable=True), execution)
        except ImportError:
            raise NotImplementedError from None  # asv's way to leave it out
        for _ in range(2):
            self._step()

    def time_step(self, workload: str, method: str) -> None:
        self._step()


if __name__ == "__main__":
    main()
