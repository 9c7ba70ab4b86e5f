"""What is trained: data, network and method of a run, as the spec describes them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from napts.experiment.method import StepOptimizer
from napts.experiment.methods import build_optimizer
from napts.experiment.network import Network, network_of
from napts.experiment.progress import Progress
from napts.experiment.seeding import restore_random_state, seed_everything
from napts.experiment.spec import RunSpec
from napts.parallel.ranks import ALONE, Ranks, local_rank
from napts.problems import DataSplits, Workload, batch_count, batches

_EXAMPLES = 2
"""Inputs shown to the partition of the network; batch normalisation needs more than one."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What is trained: everything that follows from the spec and the data alone.

    Attributes:
        spec: The run.
        workload: Its problem.
        splits: Its data, on the device.
        device: Where it computes.
        network: The network, initialised from the seed, and who holds it.
        optimizer: The method.
        ranks: Who shares the run.
    """

    spec: RunSpec
    workload: Workload
    splits: DataSplits
    device: torch.device
    network: Network
    optimizer: StepOptimizer
    ranks: Ranks

    @classmethod
    def of(cls, spec: RunSpec, data_root: Path | None, ranks: Ranks = ALONE) -> "Setup":
        """Load the data, build network and method, and seed all generators.

        Args:
            spec: The run.
            data_root: Folder of the data sets, or None.
            ranks: Who shares the run.

        Raises:
            DataMissing: The data set is not there.
            ValueError: The device is not there, or the network cannot be cut as asked for.
        """
        device = spec.execution.torch_device(local_rank() if ranks.size > 1 else None)
        workload = spec.workload.build()
        splits = workload.load(data_root, device=device, dtype=spec.dtype)
        model = workload.build_model(spec.seed).to(device=device, dtype=spec.dtype)
        if spec.execution.channels_last and spec.method.capabilities.channels_last_ok:
            model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        examples, _ = splits.train.batch(slice(0, _EXAMPLES))
        network = network_of(spec)(spec, workload, model, examples, ranks)
        optimizer = build_optimizer(
            spec.optimizer, network.stages, example_inputs=examples, seed=spec.seed
        )
        seed_everything(spec.seed)
        return cls(spec, workload, splits, device, network, optimizer, ranks)

    @property
    def batch_size(self) -> int:
        """Samples per batch."""
        size = self.spec.batch_size
        return len(self.splits.train) if size == "full" else size

    @property
    def batches_per_epoch(self) -> int:
        """Batches of an epoch, the smaller last one included."""
        return batch_count(len(self.splits.train), self.batch_size)

    @property
    def local_fraction(self) -> float:
        """Share of the batch that a local pass uses."""
        return getattr(self.spec.optimizer, "local_fraction", 1.0)

    def batches(self, epoch: int, start: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Return the batches of an epoch from the one of that number on."""
        return batches(
            self.splits.train,
            self.batch_size,
            self.spec.seed,
            epoch,
            start=start,
            overlap=self.spec.budget.overlap,
        )

    def restore(self, state: dict[str, Any]) -> Progress:
        """Put network, method and generators into the state of a checkpoint.

        Args:
            state: What `Trainer.state` returned.

        Returns:
            How far the run had come.
        """
        self.network.restore(state, self.optimizer)
        restore_random_state(state["random"])
        return Progress.from_dict(state["progress"])
