"""The network of a run, whole, copied or spread over ranks: one interface for the loop."""

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from napts.decomposition import partition_layers
from napts.decomposition.trees import mapped
from napts.experiment.methods.method import StepOptimizer
from napts.experiment.spec.run_spec import RunSpec
from napts.optim import Batch
from napts.optim.communicator import Combine, Share
from napts.optim.replicas import ONE_REPLICA, Replicas
from napts.parallel.ranks import Ranks
from napts.parallel.states import divide_state, merge_states
from napts.problems import Evaluation, Problem, SampleSet, Supervised
from napts.problems.evaluation import evaluation_mode


class Network(Protocol):
    """What the training loop needs from a network.

    Attributes:
        module: The network, or this rank's part of it.
        stages: What an optimizer is built on.
    """

    module: nn.Module
    stages: Any

    def batch(self, batch: Any) -> Any:
        """Return what an optimizer's ``step`` takes for a batch."""
        ...

    def evaluate(self, samples: SampleSet) -> Evaluation:
        """Return loss and metrics on a set, the same on every rank."""
        ...

    def agree(self, *wishes: bool) -> list[bool]:
        """Return for each wish whether some rank has it."""
        ...

    def costs(self, cpu_seconds: float, memory_mb: float) -> tuple[float, float]:
        """Return the CPU seconds of all ranks and the memory of the one that uses most."""
        ...

    def state(self, optimizer: StepOptimizer) -> dict[str, Any]:
        """Return parameters, buffers and the optimizer's state, complete on the first rank."""
        ...

    def restore(self, state: dict[str, Any], optimizer: StepOptimizer) -> None:
        """Take over what :meth:`state` returned."""
        ...


class WholeNetwork:
    """A network that one process calls as a whole.

    Args:
        spec: The run.
        problem: The problem to solve.
        model: The network, on its device.
        examples: A few inputs.
        ranks: Not used: there is only one.
    """

    def __init__(
        self, spec: RunSpec, problem: Problem, model: nn.Module, examples: Tensor, ranks: Ranks
    ) -> None:
        self.module: nn.Module = model
        self.stages = model
        self._problem = problem
        self._channels_last = spec.execution.channels_last

    def batch(self, batch: Any) -> Batch:
        """Return what is evaluated of a batch."""
        return self._split(batch)

    def _split(self, batch: Any, replicas: Replicas = ONE_REPLICA) -> Batch:
        if self._channels_last:
            batch = mapped(_channels_last, batch)
        return self._problem.batch(self.module, batch, replicas)

    def evaluate(self, samples: SampleSet) -> Evaluation:
        """Return loss and metrics on a set."""
        return self._problem.evaluate(self.module, samples)

    def agree(self, *wishes: bool) -> list[bool]:
        """Return the wishes."""
        return list(wishes)

    def costs(self, cpu_seconds: float, memory_mb: float) -> tuple[float, float]:
        """Return the arguments."""
        return cpu_seconds, memory_mb

    def state(self, optimizer: StepOptimizer) -> dict[str, Any]:
        """Return parameters, buffers and the optimizer's state."""
        return {"model": self.module.state_dict(), "optimizer": optimizer.state_dict()}

    def restore(self, state: dict[str, Any], optimizer: StepOptimizer) -> None:
        """Take over what :meth:`state` returned."""
        self.module.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])


class ReplicatedNetwork(WholeNetwork):
    """A network that every rank has a copy of; arguments as for :class:`WholeNetwork`.

    The ranks share the subdomains of a batch, or its shards.

    Raises:
        ValueError: If there are more ranks than subdomains or shards.
    """

    def __init__(
        self, spec: RunSpec, problem: Problem, model: nn.Module, examples: Tensor, ranks: Ranks
    ) -> None:
        spec.check_replicas(ranks.size)
        super().__init__(spec, problem, model, examples, ranks)
        self._ranks = ranks

    def batch(self, batch: Any) -> Batch:
        """Return what is evaluated of a batch."""
        return self._split(batch, self._ranks)

    def evaluate(self, samples: SampleSet) -> Evaluation:
        """Return loss and metrics on a set, the same on every rank."""
        self._share_buffers()
        return super().evaluate(samples)

    def agree(self, *wishes: bool) -> list[bool]:
        """Return for each wish whether some rank has it."""
        return [any(some) for some in zip(*self._ranks.gather(wishes), strict=True)]

    def costs(self, cpu_seconds: float, memory_mb: float) -> tuple[float, float]:
        """Return the CPU seconds of all ranks and the memory of the one that uses most."""
        found = self._ranks.gather((cpu_seconds, memory_mb))
        return sum(cpu for cpu, _ in found), max(memory for _, memory in found)

    def state(self, optimizer: StepOptimizer) -> dict[str, Any]:
        """Return parameters, buffers and the optimizer's state, on the CPU for other ranks."""
        self._share_buffers()
        return _on_host(super().state(optimizer))

    @torch.no_grad()
    def _share_buffers(self) -> None:
        """Take over the first rank's state: BatchNorm's statistics differ between ranks."""
        self._ranks.lead(list(self.module.buffers()))


class SpreadNetwork:
    """A network whose stages are spread over ranks; arguments as for :class:`WholeNetwork`.

    Its state does not depend on the number of ranks, so that a run can resume with another number.
    """

    def __init__(
        self, spec: RunSpec, problem: Problem, model: nn.Module, examples: Tensor, ranks: Ranks
    ) -> None:
        from napts.parallel.pipeline import Pipeline  # its engine takes a while to import

        assert spec.pipeline is not None
        problem.check_pipeline()
        assert isinstance(problem, Supervised)
        self.stages: Pipeline = Pipeline(
            partition_layers(model, spec.stages, example_inputs=examples),
            problem.criterion,
            examples,
            micro_batches=spec.pipeline.micro_batches,
            schedule=spec.execution.schedule,
        )
        self.module: nn.Module = self.stages.module
        self._problem, self._ranks = problem, ranks
        self._blocks = [sum(p.numel() for p in part) for part in self.stages.parameter_sets]

    def batch(self, batch: Any) -> Any:
        """Return the passes of a batch."""
        return self.stages.batch(*batch)

    def evaluate(self, samples: SampleSet) -> Evaluation:
        """Return loss and metrics on a set, the same on every rank."""
        with evaluation_mode(self.module):
            totals, n = self._problem.sums(self.stages.outputs, samples)
        # Only the last rank has the outputs, and so the names of what is summed.
        known = next(filter(None, self._ranks.gather(_on_host(totals))))
        return self._problem.evaluated(known, n)

    def agree(self, *wishes: bool) -> list[bool]:
        """Return for each wish whether some rank has it."""
        return [bool(wish) for wish in self._collect([(float(w), "max") for w in wishes])]

    def costs(self, cpu_seconds: float, memory_mb: float) -> tuple[float, float]:
        """Return the CPU seconds of all ranks and the memory of the one that uses most."""
        cpu, memory = self._collect([(cpu_seconds, "sum"), (memory_mb, "max")])
        return cpu, memory

    def state(self, optimizer: StepOptimizer) -> dict[str, Any]:
        """Return parameters, buffers and the optimizer's state, complete on the first rank."""
        own = (_on_host(self.stages.state_dict()), _on_host(optimizer.state_dict()))
        parts = self._ranks.gather(own)
        return {
            "model": {name: tensor for model, _ in parts for name, tensor in model.items()},
            "optimizer": merge_states([state for _, state in parts]),
            "trial_gradients": self.stages.trial_gradients.state_dict(),
        }

    def restore(self, state: dict[str, Any], optimizer: StepOptimizer) -> None:
        """Take over what :meth:`state` returned, whatever the number of ranks was."""
        self.stages.load_state_dict(state["model"])
        own = optimizer.state_dict()
        optimizer.load_state_dict(
            divide_state(state["optimizer"], own, self.stages.before, self._blocks)
        )
        self.stages.trial_gradients.load_state_dict(state["trial_gradients"])

    def _collect(self, values: list[tuple[float, Combine]]) -> list[float]:
        shares: list[Share] = [
            (torch.tensor(value, dtype=torch.float64), how) for value, how in values
        ]
        return self.stages.communicator.collect(shares)


def network_of(spec: RunSpec) -> type[WholeNetwork] | type[SpreadNetwork]:
    """Return how a run's network is held."""
    if spec.pipeline is not None:
        return SpreadNetwork
    return ReplicatedNetwork if spec.execution.ranks > 1 else WholeNetwork


def _channels_last(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor


def _on_host(value: Any) -> Any:
    """Return nested data with all tensors on the CPU."""
    if isinstance(value, Tensor):
        return value.cpu()
    if isinstance(value, dict):
        return {key: _on_host(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_on_host(item) for item in value]
    return value
