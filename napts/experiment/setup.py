"""What is trained: data, network and method of a run, as the spec describes them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from napts.experiment.methods.method import StepOptimizer
from napts.experiment.methods.registry import build_optimizer
from napts.experiment.network import Network, network_of
from napts.experiment.plugins.late_imports import LateImports
from napts.experiment.progress import Progress
from napts.experiment.seeding import restore_random_state, seed_everything
from napts.experiment.spec.run_spec import RunSpec
from napts.experiment.training_calls import train_through
from napts.parallel.ranks import ALONE, Ranks, local_rank
from napts.problems import DataSplits, EpochOrder, Problem

_EXAMPLES = 2
"""Inputs shown to the partition of the network; batch normalisation needs more than one."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What is trained: everything that follows from the spec and the data alone.

    Attributes:
        spec: The run.
        problem: The problem to solve.
        splits: Its data, on the device.
        device: Where it computes.
        network: The network, initialised from the seed, and how it is held.
        optimizer: The method.
        ranks: The ranks that share the run.
        late: Knows which of the user's code is loaded during the run.
    """

    spec: RunSpec
    problem: Problem
    splits: DataSplits
    device: torch.device
    network: Network
    optimizer: StepOptimizer
    ranks: Ranks
    late: LateImports

    @classmethod
    def of(cls, spec: RunSpec, data_root: Path | None, ranks: Ranks = ALONE) -> "Setup":
        """Load the data, build network and method, and seed all generators.

        Args:
            spec: The run.
            data_root: Folder of the data sets, or None.
            ranks: The ranks that share the run.

        Raises:
            DataMissing: The data set is not there.
            ValueError: The device is not there, the network cannot be cut as asked for, or own
                code is loaded that the run's key does not include.
        """
        device = spec.execution.torch_device(local_rank() if ranks.size > 1 else None)
        late = LateImports(spec.modules)
        problem = spec.workload.build()
        splits = problem.load(data_root, device=device, dtype=spec.dtype)
        model = problem.build_model(spec.seed).to(device=device, dtype=spec.dtype)
        if spec.execution.channels_last and spec.method.capabilities.channels_last_ok:
            model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        splits.train.check(spec.batch_size, spec.budget.overlap)
        _check_shards(spec, len(splits.train))
        examples = problem.example_inputs(splits.train.first(_EXAMPLES))
        network = network_of(spec)(spec, problem, model, examples, ranks)
        optimizer = build_optimizer(
            spec.optimizer, network.stages, example_inputs=examples, seed=spec.seed
        )
        train_through(model, spec.execution, examples, device.type)
        late.check()
        seed_everything(spec.seed)
        return cls(spec, problem, splits, device, network, optimizer, ranks, late)

    @property
    def batches_per_epoch(self) -> int:
        """Number of batches in an epoch, including a smaller last one."""
        return self.splits.train.check(self.spec.batch_size, self.spec.budget.overlap)

    @property
    def local_fraction(self) -> float:
        """Share of the batch that a local pass uses."""
        return getattr(self.spec.optimizer, "local_fraction", 1.0)

    def batches(self, epoch: int, start: int) -> Iterator[Any]:
        """Return the batches of an epoch from a given one on."""
        spec = self.spec
        order = EpochOrder(spec.batch_size, spec.seed, epoch, start, spec.budget.overlap)
        return self.problem.training_batches(self.splits.train, order)

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


def _check_shards(spec: RunSpec, samples: int) -> None:
    """Check in advance that every batch can be divided, even a smaller last one."""
    if spec.method.capabilities.shared_by != "shards":
        return
    size = samples if spec.batch_size == "full" else min(spec.batch_size, samples)
    smallest = samples % size or size
    shards = getattr(spec.optimizer, "shards", 1)
    if shards > smallest:
        raise ValueError(
            f"optimizer.shards: found {shards}, allowed: 1 to {smallest}, the samples in the "
            "smallest batch"
        )
