"""What it costs to see to it that local gradients are those of the loss.

    python -m benchmarks.consistency [--workload cifar10-cnn] [--batch-size 200] [--steps 5]

Every captured pass looks at the modules and walks the graph of the loss; the first one, and one in
`EVERY`, compares the blocks with the model, which is a local pass of them. All is timed in one run;
the share of a run is that of the looks in every step and of one comparison in `EVERY` steps.
"""

import argparse
import statistics
from collections.abc import Callable

from torch import Tensor

import napts
from benchmarks.problems import problem
from benchmarks.timing import seconds


def main(workload: str, batch_size: int, steps: int) -> None:
    """Print the times and the share."""
    # Here, since asv imports every suite on older revisions too.
    from napts.decomposition.consistency import EVERY
    from napts.decomposition.structure import appearance, dependence

    on = problem(workload, batch_size, learnable=True)
    stages = napts.partition_layers(on.model, on.subdomains, example_inputs=on.inputs[:2])
    with stages.capture():
        loss = on.closure()
    outputs: list[list[Tensor]] = [[] for _ in stages]
    for index, tensor in enumerate(stages.boundaries()):
        outputs[index % len(stages)].append(tensor)
    looks = _median(lambda: appearance(on.model), 200)
    walk = _median(lambda: dependence(loss, outputs, stages.parameter_sets), 200)
    optimizer = napts.NAPTS(stages)
    first = _median(lambda: optimizer.step(on.closure), 1)
    assert optimizer.last_step is not None
    checks = optimizer.last_step.checks
    step = _median(lambda: optimizer.step(on.closure), steps)
    share = (looks + walk + checks * max(first - step, step / 5) / EVERY) / step
    print(f"{workload}, batch {batch_size}, n = {steps} steps, medians")
    print(f"  look at the modules {1e3 * looks:8.3f} ms")
    print(f"  walk of the graph   {1e3 * walk:8.3f} ms")
    print(f"  first step          {1e3 * first:8.1f} ms, {checks} comparison in it")
    print(f"  a later step        {1e3 * step:8.1f} ms")
    print(f"  share of a run      {100 * share:8.2f} %")


def _median(action: Callable[[], object], repeats: int) -> float:
    return statistics.median(seconds(action) for _ in range(repeats))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workload", default="cifar10-cnn")
    parser.add_argument("--batch-size", type=int, default=200)
    parser.add_argument("--steps", type=int, default=5)
    main(**vars(parser.parse_args()))
