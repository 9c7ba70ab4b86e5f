"""What a step of TTR or STTR costs beside one of Adam: ratios within one process, one thread.

python -m benchmarks.tracking
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

import napts
from benchmarks.problems import Problem, problem

STEPS, REPEATS, WARM_UP = 24, 12, 3
UNPROBED: dict[str, Any] = {"first_probes": 0, "probe_every": 10**6}

Make = Callable[[Problem], Any]
METHODS: dict[str, Make] = {
    "Adam": lambda on: napts.Baseline(torch.optim.Adam(on.model.parameters(), lr=1e-3)),
    "TTR without probes": lambda on: napts.TTR(on.model.parameters(), **UNPROBED),
    "TTR": lambda on: napts.TTR(on.model.parameters(), first_probes=0),
    "STTR without probes": lambda on: napts.STTR(on.model.parameters(), **UNPROBED),
    "STTR": lambda on: napts.STTR(on.model.parameters(), first_probes=0),
}


def ratios(workload: str, batch: int) -> dict[str, list[float]]:
    """Return for each method the CPU time of `STEPS` steps over that of Adam, by repeat."""
    problems = {name: problem(workload, batch, learnable=True) for name in METHODS}
    optimizers = {name: make(problems[name]) for name, make in METHODS.items()}
    found: dict[str, list[float]] = {name: [] for name in METHODS}
    for repeat in range(WARM_UP + REPEATS):
        seconds = {}
        for name, optimizer in optimizers.items():
            begin = time.process_time()
            for _ in range(STEPS):
                optimizer.step(problems[name].closure)
            seconds[name] = time.process_time() - begin
        if repeat >= WARM_UP:
            for name, own in seconds.items():
                found[name].append(own / seconds["Adam"])
    return found


def main() -> None:
    """Print the median ratio and its range for three problems."""
    torch.set_num_threads(1)
    for workload, batch in (("mnist-fcnn", 128), ("mnist-fcnn", 1000), ("cifar10-mini", 200)):
        for name, found in ratios(workload, batch).items():
            middle = statistics.median(found)
            ends = f"[{min(found):.2f}, {max(found):.2f}]"
            print(f"{workload} {batch}  {name:20s} {middle:.2f} {ends}  n = {len(found)}")


if __name__ == "__main__":
    main()
