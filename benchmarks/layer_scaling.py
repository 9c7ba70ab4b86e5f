"""Strong scaling of ASPQN over ranks: one equation, one network, its subdomains on more processes.

    python -m benchmarks.layer_scaling [--problem burgers] [--points 2500] [--rounds 10]

For every number of ranks a group of processes is started on this machine, one thread each, and
takes the same iterations. Only local phases are shared; searches along the sum and the global step
are done by every rank. "modelled" is the time of one rank times the share of gradients that have
to wait for one another, where every subdomain has a processor: counted, not measured.
"""

import argparse
import os
import statistics
import time
from typing import Any

import torch

import napts
from benchmarks.ranks import add_worker, line, work
from napts.parallel.ranks import Ranks
from napts.problems import get_problem

RANKS = (1, 2, 4)


def measure(ranks: Ranks, arguments: argparse.Namespace) -> dict[str, Any]:
    """Take iterations on the ranks of this process's group, and time them."""
    torch.set_num_threads(1)
    size = {"hidden_layers": arguments.layers, "width": arguments.width}
    problem: Any = get_problem(arguments.problem, {"points": arguments.points, **size})
    model = problem.build_model(0).double()
    sets = napts.split_layers(model, n_subdomains=arguments.layers)
    optimizer = napts.ASPQN(sets, local_steps=arguments.local_steps)
    batch = problem.batch(model, problem.data()[0], ranks)
    seconds, share, losses = [], [], []
    for _ in range(arguments.rounds + 2):  # the first has no local phase, the second warms up
        ranks.gather(None)  # all begin together
        start = time.perf_counter()
        losses.append(float(optimizer.step(batch)))
        seconds.append(time.perf_counter() - start)
        step: Any = optimizer.last_step
        share.append(step.gradients_concurrent / step.backwards)
    timed = seconds[2:]
    return {
        "ranks": ranks.size,
        "n": len(timed),
        "iteration_s": statistics.median(timed),
        "smallest_s": min(timed),
        "largest_s": max(timed),
        "concurrent_share": sum(share[2:]) / len(timed),
        "loss": losses[-1],
    }


def parse() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--problem", default="burgers")
    parser.add_argument("--points", type=int, default=2500)
    parser.add_argument("--layers", type=int, default=4, help="hidden layers, and subdomains")
    parser.add_argument("--width", type=int, default=20)
    parser.add_argument("--local-steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=10)
    add_worker(parser)
    return parser.parse_args()


def main() -> None:
    """Start the ranks and print the table."""
    arguments = parse()
    if arguments.worker:
        work(arguments.worker, lambda ranks: measure(ranks, arguments))
        return
    given = {k: v for k, v in vars(arguments).items() if k != "worker"}
    options = [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
    rows = [line(count, "benchmarks.layer_scaling", options) for count in RANKS]
    _print(rows, arguments)


def _print(rows: list[dict[str, Any]], arguments: argparse.Namespace) -> None:
    cores = len(os.sched_getaffinity(0))
    print(
        f"ASPQN on {arguments.problem}, {arguments.points} points, {arguments.layers} x "
        f"{arguments.width}, {arguments.layers} subdomains, {cores} cores"
    )
    print("| ranks | seconds an iteration | of one rank | loss |\n|---:|---|---:|---|")
    alone = rows[0]["iteration_s"]
    for row in rows:
        spread = f"[{row['smallest_s']:.2f}, {row['largest_s']:.2f}]"
        time_of = f"{row['iteration_s']:.2f} {spread}"
        print(
            f"| {row['ranks']} | {time_of} | {row['iteration_s'] / alone:.2f} | {row['loss']!r} |"
        )
    share = rows[0]["concurrent_share"]
    print(f"| {arguments.layers}, modelled | {share * alone:.2f} | {share:.2f} | |")


if __name__ == "__main__":
    main()
