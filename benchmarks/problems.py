"""Problems to time: a workload's network on a batch of its shapes, the same on every machine."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import napts

# Its former name on older revisions, on which the suites must import; asked of the package itself,
# since an installed one may lend what a checkout lacks.
_HOME = "problems" if (Path(napts.__file__).parent / "problems").is_dir() else "workloads"
_NAME = "get_problem" if _HOME == "problems" else "get_workload"
get_workload: Callable[..., Any] = getattr(import_module(f"napts.{_HOME}"), _NAME)
SHAPES = {
    "digits-cnn": (1, 8, 8),
    "mnist-fcnn": (1, 28, 28),
    "cifar10-mini": (3, 16, 16),
    "cifar10-cnn": (3, 32, 32),
}
METHODS = ("TR", "NTR", "APTS", "APTSA", "NAPTS")
SCHWARZ = ("APTS", "APTSA", "NAPTS")
LIGHT: dict[str, Any] = {
    **{"local_steps": 1, "moments": "kept", "shares": "joint", "retry": "shrink"},
    **{"global_step": "never", "eta_1": 0.5, "eta_2": 0.9},
}
"""Options of the light member of NAPTS, written out: the suites must import on older revisions."""
CLASSES = 10
LOSS = nn.CrossEntropyLoss()


@dataclass(frozen=True)
class Problem:
    """A network with one batch, and the loss on it."""

    model: nn.Module
    inputs: Tensor
    targets: Tensor
    subdomains: int

    def closure(self) -> Tensor:
        """Return the loss of the batch."""
        return LOSS(self.model(self.inputs), self.targets)

    def on_part(self, part: int, size: int) -> Callable[[], Tensor]:
        """Return the closure of a part of the batch; the parts follow each other in a circle."""
        start = part % (len(self.inputs) // size) * size
        samples = slice(start, start + size)
        inputs, targets = self.inputs[samples], self.targets[samples]
        return lambda: LOSS(self.model(inputs), targets)


def problem(
    workload: str, batch_size: int, threads: int = 1, *, learnable: bool = False
) -> Problem:
    """Build a workload's network and a batch with fixed seeds, on so many threads.

    Args:
        workload: Name of the workload.
        batch_size: Samples of the batch.
        threads: Threads of torch.
        learnable: Take the classes from a linear function of the inputs, so that a method makes
            progress as it does in training; else they are random, and most corrections fail.
    """
    torch.set_num_threads(threads)
    named = get_workload(workload)
    model = named.build_model(0)
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(batch_size, *SHAPES[workload], generator=generator)
    if learnable:
        teacher = torch.randn(inputs[0].numel(), CLASSES, generator=generator)
        targets = (inputs.flatten(1) @ teacher).argmax(1)
    else:
        targets = torch.randint(0, CLASSES, (batch_size,), generator=generator)
    return Problem(model, inputs, targets, named.subdomains)


def optimizer(name: str, on: Problem, **options: Any) -> Any:
    """Build a method, with the workload's subdomains where it has any.

    Args:
        name: One of `METHODS`, ``"light"`` for the light member of NAPTS, ``"TTR"``,
            ``"STTR"`` or ``"Adam"``.
        on: The problem.
        options: Options of the method.
    """
    if name == "Adam":
        from napts.optim import Baseline

        return Baseline(torch.optim.Adam(on.model.parameters(), **options))
    if name == "light":
        name, options = "NAPTS", {**LIGHT, **options}
    if name in SCHWARZ:
        stages = napts.partition_layers(on.model, on.subdomains, example_inputs=on.inputs[:2])
        return getattr(napts, name)(stages, **options)
    return getattr(napts, name)(on.model.parameters(), **options)
