"""Problems to time: a workload's network on random data of its shapes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import napts
from napts.workloads import get_workload

SHAPES = {"mnist-fcnn": (1, 28, 28), "cifar10-cnn": (3, 32, 32), "cifar10-mini": (3, 16, 16)}
METHODS = ("TR", "NTR", "APTS", "APTSA", "NAPTS")
SCHWARZ = ("APTS", "APTSA", "NAPTS")


@dataclass(frozen=True)
class Problem:
    """A network with one batch, and the loss on it."""

    model: nn.Module
    inputs: Tensor
    closure: Callable[[], Tensor]
    subdomains: int


def problem(workload: str, batch_size: int, threads: int) -> Problem:
    """Build a workload's network and a batch with fixed seeds, on so many threads."""
    torch.set_num_threads(threads)
    named = get_workload(workload)
    model = named.build_model(0)
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(batch_size, *SHAPES[workload], generator=generator)
    targets = torch.randint(0, 10, (batch_size,), generator=generator)
    loss = nn.CrossEntropyLoss()
    return Problem(model, inputs, lambda: loss(model(inputs), targets), named.subdomains)


def optimizer(name: str, on: Problem, **options: Any) -> Any:
    """Build a method, with the workload's subdomains where it has any."""
    if name in SCHWARZ:
        stages = napts.partition_layers(on.model, on.subdomains, example_inputs=on.inputs[:2])
        return getattr(napts, name)(stages, **options)
    return getattr(napts, name)(on.model.parameters(), **options)
