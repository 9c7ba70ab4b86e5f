"""What two processes in DistributedDataParallel do with every method; runs under torchrun."""

import json
import sys
from pathlib import Path

import torch.distributed as dist
import torch.distributed.nn.functional  # noqa: F401 - imported within a group it would keep it
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from tests.zoo.problems import STEPS, batch, make, network
from tests.zoo.training import METHODS_OF_LOOPS


def main(folder: str) -> None:
    """Train with each method and write down where that led."""
    dist.init_process_group("gloo")
    rank, told = dist.get_rank(), {}
    inputs, targets = batch()
    part = slice(rank, None, 2)
    for method in METHODS_OF_LOOPS:
        model = network()
        wrapped = DistributedDataParallel(model)
        chosen = make(method, wrapped)
        before = float(functional.cross_entropy(model(inputs), targets).detach())
        for _ in range(STEPS):
            chosen.step(lambda w=wrapped: functional.cross_entropy(w(inputs[part]), targets[part]))
        after = float(functional.cross_entropy(model(inputs), targets).detach())
        parameters = [p.tolist() for p in model.parameters()]
        told[method] = {"before": before, "after": after, "parameters": parameters}
    Path(folder, f"{rank}.json").write_text(json.dumps(told))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
