"""Strong scaling over ranks and micro-batches: one network, one batch, more processes.

    python -m benchmarks.scaling [--workload cifar10-mini] [--batch-size 1000] [--rounds 10]

For every number of ranks a group of processes is started on this machine, one thread each, and
for every number of micro-batches they time a forward and backward pass through the pipeline and a
step of NAPTS. A pipeline of ``r`` ranks with ``m`` micro-batches idles for a share of at least
``(r - 1) / (m + r - 1)`` of its time, the bubble of GPipe and of 1F1B. "idle" is what was measured:
one minus the processes' CPU time over ranks times wall time, which also counts the exchange of data
and, where there are fewer processors than ranks, the wait for one of them.
"""

import argparse
import itertools
import json
import os
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

import napts
from benchmarks.problems import SHAPES, get_workload
from benchmarks.ranks import add_worker, line, work
from napts.parallel.ranks import Ranks

RANKS = (1, 2, 4)
MICRO_BATCHES = (1, 2, 4, 8)
STAGES = 4
_KIB = 1024 / 1e6


def _resident_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIB


def build(workload: str, batch_size: int, micro_batches: int, schedule: Any) -> tuple[Any, ...]:
    """Return a pipeline on this process's group, inputs and targets."""
    named = get_workload(workload)
    model = named.build_model(0)
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(batch_size, *SHAPES[workload], generator=generator)
    targets = torch.randint(0, 10, (batch_size,), generator=generator)
    stages = napts.partition_layers(model, STAGES, example_inputs=inputs[:2])
    pipeline = napts.Pipeline(
        stages, functional.cross_entropy, inputs[:2], micro_batches=micro_batches, schedule=schedule
    )
    return pipeline, inputs, targets


def _timed(ranks: Ranks, rounds: int, action: Callable[[], Any]) -> tuple[str, float]:
    """Return the wall time of an action in milliseconds, median [smallest, largest], on this rank.

    And the idle share of all ranks in percent.
    """
    action()
    seconds, cpu = [], []
    for _ in range(rounds):
        ranks.gather(None)  # all begin together
        start, cpu_start = time.perf_counter(), time.process_time()
        action()
        cpu.append(time.process_time() - cpu_start)
        seconds.append(time.perf_counter() - start)
    wall, busy = (sum(part) for part in zip(*ranks.gather((sum(seconds), sum(cpu))), strict=True))
    times = (statistics.median(seconds), min(seconds), max(seconds))
    return "{:.0f} [{:.0f}, {:.0f}]".format(*(1e3 * t for t in times)), 100 * (1 - busy / wall)


def measure(
    ranks: Ranks, workload: str, batch_size: int, micro_batches: int, schedule: Any, rounds: int
) -> dict[str, Any]:
    """Measure one number of micro-batches on the ranks of this process's group."""
    torch.manual_seed(0)
    before = _resident_mb()
    pipeline, inputs, targets = build(workload, batch_size, micro_batches, schedule)
    optimizer = napts.NAPTS(pipeline)
    one_pass, idle = _timed(
        ranks, rounds, lambda: pipeline.forward_backward(inputs, targets, capture=False)
    )
    sent, collectives = pipeline.bytes_sent, pipeline.communicator.collectives
    records = []

    def step() -> None:
        optimizer.step(pipeline.batch(inputs, targets))
        records.append(optimizer.last_step)

    one_step, _ = _timed(ranks, rounds, step)
    tests = sum(trial.evaluated for record in records for trial in record.trials)
    share = (pipeline.bytes_sent - sent) / len(records)
    return {
        "ranks": ranks.size,
        "micro_batches": micro_batches,
        "n": rounds,
        "pass_ms": one_pass,
        "idle_percent": idle,
        "bubble_percent": 100 * (ranks.size - 1) / (micro_batches + ranks.size - 1),
        "step_ms": one_step,
        "sent_mb_per_step": sum(ranks.gather(share)) / 1e6,
        "collectives_per_test": (pipeline.communicator.collectives - collectives) / tests,
        "memory_mb": max(ranks.gather(_resident_mb() - before)),
    }


def parse() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workload", choices=list(SHAPES), default="cifar10-mini")
    parser.add_argument("--batch-size", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--schedule", choices=["gpipe", "1f1b"], default="1f1b")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--micro-batches", type=int, help=argparse.SUPPRESS)
    add_worker(parser)
    return parser.parse_args()


def main() -> None:
    """Start the ranks and print the table."""
    arguments = parse()
    if arguments.worker:
        torch.set_num_threads(1)
        sizes = (arguments.batch_size, arguments.micro_batches)
        more = (arguments.schedule, arguments.rounds)
        work(arguments.worker, lambda ranks: measure(ranks, arguments.workload, *sizes, *more))
        return
    options = ["--workload", arguments.workload, "--schedule", arguments.schedule]
    options += [f"--batch-size={arguments.batch_size}", f"--rounds={arguments.rounds}"]
    rows = [
        line(count, "benchmarks.scaling", [*options, f"--micro-batches={micro_batches}"])
        for count, micro_batches in itertools.product(RANKS, MICRO_BATCHES)
    ]
    _print(rows, arguments)


def _print(rows: list[dict[str, Any]], arguments: argparse.Namespace) -> None:
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return
    cores = len(os.sched_getaffinity(0))
    print(
        f"{arguments.workload}, batch {arguments.batch_size}, {arguments.schedule}, {cores} cores"
    )
    print("| " + " | ".join(rows[0]) + " |\n|" + "---:|" * len(rows[0]))
    for row in rows:
        cells = [v if isinstance(v, str) else f"{v:.3g}" for v in row.values()]
        print("| " + " | ".join(cells) + " |")


class PipelineStep:
    """asv: one step of NAPTS through a pipeline of one rank, by micro-batches."""

    params = MICRO_BATCHES
    param_names = ("micro_batches",)
    timeout = 300

    def setup(self, micro_batches: int) -> None:
        torch.set_num_threads(1)
        self._group = napts.join_ranks(alone=True)
        self._group.__enter__()
        self._pipeline, self._inputs, self._targets = build(
            "cifar10-mini", 200, micro_batches, "gpipe"
        )
        self._optimizer = napts.NAPTS(self._pipeline)
        self.time_step(micro_batches)

    def teardown(self, micro_batches: int) -> None:
        self._group.__exit__(None, None, None)

    def time_step(self, micro_batches: int) -> None:
        self._optimizer.step(self._pipeline.batch(self._inputs, self._targets))


if __name__ == "__main__":
    main()
