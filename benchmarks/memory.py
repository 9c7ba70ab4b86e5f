"""Peak memory of training steps, as a multiple of what Adam's steps take.

    python -m benchmarks.memory [--workload cifar10-cnn] [--batch-size 1000] [--steps 2]

Each method runs in a process of its own. "steps" is by how much the largest resident memory of the
process grew over that before the first step, "process" the largest memory itself, with Python and
torch in it.
"""

import argparse
import multiprocessing
import resource

from benchmarks.problems import METHODS, SHAPES, optimizer, problem

_MB = 1024 / 1e6


def peak(workload: str, batch_size: int, method: str, steps: int) -> tuple[float, float]:
    """Return by how much the peak grew from before the first step, and the peak itself, in MB."""
    on = problem(workload, batch_size, learnable=True)
    under_test = optimizer(method, on)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MB
    for _ in range(steps):
        under_test.step(on.closure)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MB
    return after - before, after


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workload", choices=SHAPES, default="cifar10-cnn")
    parser.add_argument("--batch-size", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=2)
    given = parser.parse_args()
    row = "{:8} {:>12} {:>10} {:>13}"
    print(row.format("method", "steps [MB]", "vs Adam", "process [MB]"))
    spawn, adam = multiprocessing.get_context("spawn"), None
    for method in ("Adam", *METHODS, "light"):
        with spawn.Pool(1) as pool:
            arguments = (given.workload, given.batch_size, method, given.steps)
            grown, whole = pool.apply(peak, arguments)
        adam = adam or grown
        print(row.format(method, f"{grown:.0f}", f"{grown / adam:.2f}", f"{whole:.0f}"), flush=True)


if __name__ == "__main__":
    main()
