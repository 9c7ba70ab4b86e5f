"""A network whose stages are spread over ranks: subdomains, passes and evaluation."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from napts.decomposition.stages import LayerPartition
from napts.optim.batch import Batch
from napts.optim.gradients import gradients
from napts.optim.subdomains import Part
from napts.parallel.communicator import RankCommunicator
from napts.parallel.engine import Engine, Loss, Place, Schedule, micro_batch_count
from napts.parallel.pipeline_batch import PipelineBatch, TrialGradients
from napts.parallel.rank_module import Boundary, RankModule
from napts.parallel.spread import names_in, sample_shapes, shares, tensors_of


class Pipeline:
    """The stages of a network on the ranks of a process group, contiguous and in order.

    Implements :class:`napts.optim.subdomains.Decomposition` for the stages of this rank, so that
    it takes the place of the partition in ``napts.NAPTS(pipeline)``. Methods without subdomains
    take ``pipeline.groups()``. Every rank makes the same calls with the same batches::

        with napts.join_ranks() as ranks:
            stages = napts.partition_layers(model, n_subdomains=4)
            pipeline = napts.Pipeline(stages, criterion, example_inputs, micro_batches=4)
            optimizer = napts.NAPTS(pipeline)
            for inputs, targets in loader:
                loss = optimizer.step(pipeline.batch(inputs, targets))

    The numbers do not depend on how many ranks there are. They do depend on the micro-batches if a
    layer looks at the whole batch (BatchNorm).

    Args:
        partition: All stages; the model is on this rank's device. Only this rank's stages are
            kept.
        loss: Mean loss of a batch, from outputs ``(n, ...)`` and targets ``(n, ...)``.
        example_inputs: A few inputs, to find out the shapes between the stages.
        micro_batches: Micro-batches of a batch; see ``napts.parallel.pipeline.micro_batch_count``.
        schedule: ``"gpipe"`` or ``"1f1b"``; see :class:`napts.parallel.engine.Engine`.
        group: Process group; None for all ranks.

    Attributes:
        communicator: Combines the ranks' shares.
        module: This rank's part of the network.
        total: Number of stages of all ranks.
        first: Index of this rank's first stage.
        before: The parameters of the ranks before this one, without their contents.
        trial_gradients: How gradients of trial points are computed.

    Raises:
        ValueError: If there are more ranks than stages, if ``micro_batches`` is below 1, if the
            stages are to be compiled, or if a stage calls a function that depends on the training
            mode, such as ``F.dropout``: it would stay in the mode in which it was partitioned.
    """

    def __init__(
        self,
        partition: LayerPartition,
        loss: Loss,
        example_inputs: Tensor,
        *,
        micro_batches: int = 1,
        schedule: Schedule = "gpipe",
        group: dist.ProcessGroup | None = None,
    ) -> None:
        rank, size = dist.get_rank(group), dist.get_world_size(group)
        if size > len(partition):
            raise ValueError(
                f"found {size} ranks for {len(partition)} stages, allowed: at most one rank per "
                "stage"
            )
        if micro_batches < 1:
            raise ValueError(f"Invalid micro_batches: {micro_batches}, must be at least 1")
        if any(stage.compile_local for stage in partition):
            raise ValueError("Invalid partition: compile_local is not for pipelines")
        held = [index for index, stage in enumerate(partition) if stage.mode is not None]
        if held:
            raise ValueError(
                f"stage {held[0]} calls a function that depends on the training mode, allowed on "
                "ranks: a module instead (nn.Dropout)"
            )
        for stage in partition:
            stage.alone()
        device = partition[0].parameter_list[0].device
        width = -(-len(partition) // size)
        self.communicator = RankCommunicator(device, width, group)
        self.total = len(partition)
        self.first, after = shares(self.total, size)[rank]
        stages = partition[self.first : after]
        self.before = [
            p.detach().to("meta") for s in partition[: self.first] for p in s.parameters()
        ]
        self._parameter_sets = [stage.parameters() for stage in stages]
        self.module = RankModule(stages, self.first, device)
        self._names = names_in(partition.model, self.module)
        self.trial_gradients = TrialGradients()
        shapes = sample_shapes(partition, example_inputs)
        dtype = partition[0].parameter_list[0].dtype
        entry, leave = shapes[self.first], shapes[after]
        self._place = Place(rank, size, device, dtype, entry, leave, group)
        self._loss, self._micro_batches = loss, micro_batches
        self._schedule: Schedule = schedule
        self._engines: dict[int, Engine] = {}
        self._boundaries: list[Boundary] = []
        self._targets: tuple[Tensor, ...] = ()

    def groups(self) -> list[dict[str, Any]]:
        """Return this rank's parameters as groups, one per stage, for methods without subdomains.

        With one group per stage the numbers have the same bits on any number of ranks.
        """
        return [{"params": part} for part in self._parameter_sets]

    def parameters(self) -> list[nn.Parameter]:
        """Return this rank's parameters that require a gradient, in the order of the stages."""
        return [p for part in self._parameter_sets for p in part]

    def batch(self, inputs: Tensor, targets: Tensor) -> PipelineBatch:
        """Return what an optimizer's ``step`` takes for one batch.

        Args:
            inputs: ``(n, ...)`` inputs, the same on every rank.
            targets: ``(n, ...)`` targets, likewise.
        """
        return PipelineBatch(self, inputs, targets)

    def outputs(self, inputs: Tensor, targets: Tensor) -> Tensor | None:
        """Run a batch forward, for evaluation: no gradient, no trace in the random numbers.

        Returns:
            The network's outputs on the last rank, None on the others.
        """
        state = torch.get_rng_state()
        with self.module.one_pass():
            _, outputs = self.engine(len(targets)).forward(inputs, targets)
        torch.set_rng_state(state)
        return outputs

    @property
    def bytes_sent(self) -> int:
        """Bytes of activations and gradients that this rank has sent so far."""
        return sum(engine.bytes_sent for engine in self._engines.values())

    @property
    def holds_last(self) -> bool:
        """Whether the last stage is on this rank."""
        return self._place.is_last

    @property
    def parameter_sets(self) -> list[list[nn.Parameter]]:
        """The trainable parameters of each of this rank's stages."""
        return self._parameter_sets

    def state_dict(self) -> dict[str, Tensor]:
        """Return this rank's parameters and buffers under their names in the whole network."""
        tensors = {id(t): t.detach() for t in tensors_of(self.module)}
        return {name: tensors[key] for name, key in self._names.items() if key in tensors}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over this rank's part of the whole network's parameters and buffers."""
        for name, tensor in self.state_dict().items():
            tensor.copy_(state[name])

    @contextmanager
    def capture(self) -> Iterator[None]:
        """Do nothing: the passes of a batch fill the caches (``linearise``)."""
        yield

    def boundaries(self) -> list[Tensor]:
        """Return nothing: downstream gradients are captured on their way."""
        return []

    def set_downstream(self, downstream: Sequence[Tensor]) -> None:
        """Do nothing, as in :meth:`boundaries`."""

    def ask_for_parts(self) -> None:
        """Do nothing: every stage can take parts."""

    def inspect(self, loss: Tensor) -> None:
        """Do nothing: the loss is a function of the last stage's outputs."""

    def compared(self) -> Sequence[int]:
        """Return nothing: the stages run alone exactly as in a pass."""
        return ()

    def lacks(self, subdomain: int) -> bool:
        """Return that no gradient is incomplete."""
        return False

    def remainder(self, subdomain: int, local: Tensor, whole: Tensor, scale: Tensor) -> None:
        """Return that nothing is missing."""

    def local_gradient(
        self, subdomain: int, part: Part | None = None, *, at_iterate: bool = False
    ) -> list[Tensor]:
        """Return eq. (2) for one of this rank's stages at its current weights.

        Costs no communication: inputs and downstream gradients are those of the captured pass. A
        part is taken from every micro-batch.
        """
        boundary = self._boundaries[subdomain]
        pairs = list(zip(boundary.entries, boundary.downstream, strict=True))
        if part is not None:
            pairs = [part.cut(entry, downstream) for entry, downstream in pairs]
        entries, vectors = zip(*pairs, strict=True)
        return self._mean_gradient(subdomain, entries, lambda outputs, i: (outputs, vectors[i]))

    def exact_gradient_of_last(self, closure: Batch) -> list[Tensor]:
        """Return the last stage's gradient of the loss itself, with only its input frozen."""
        last = len(self._parameter_sets) - 1
        entries = self._boundaries[last].entries
        return self._mean_gradient(
            last, entries, lambda outputs, i: (self._loss(outputs, self._targets[i]), None)
        )

    def release(self) -> None:
        """Drop all boundary data."""
        self._boundaries = []

    def engine(self, batch_size: int) -> Engine:
        """Return the engine for batches of this size, made on first use."""
        if batch_size not in self._engines:
            count = micro_batch_count(batch_size, self._micro_batches)
            self._engines[batch_size] = Engine(
                self.module,
                self._place,
                self._loss,
                micro_batches=count,
                micro_size=batch_size // count,
                schedule=self._schedule,
            )
        return self._engines[batch_size]

    def forward_backward(
        self, inputs: Tensor, targets: Tensor, *, capture: bool
    ) -> tuple[Tensor, list[Tensor]]:
        """Return this rank's share of the loss, and the gradient for its parameters.

        Args:
            inputs: ``(n, ...)`` inputs.
            targets: ``(n, ...)`` targets.
            capture: Keep boundary data for local passes.
        """
        parameters = self.parameters()
        for parameter in parameters:
            parameter.grad = None
        boundaries = [Boundary() for _ in self._parameter_sets] if capture else None
        with self.module.one_pass(boundaries):
            loss = self.engine(len(targets)).forward_backward(inputs, targets)
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        for parameter in parameters:
            parameter.grad = None
        if boundaries is not None:
            self._boundaries = boundaries
            count = micro_batch_count(len(targets), self._micro_batches)
            self._targets = targets.chunk(count)
        return loss, gradients

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return this rank's share of the loss; arguments as in :meth:`forward_backward`."""
        with self.module.one_pass():
            return self.engine(len(targets)).forward(inputs, targets)[0]

    def _mean_gradient(
        self,
        index: int,
        entries: Sequence[Tensor],
        end: Callable[[Tensor, int], tuple[Tensor, Tensor | None]],
    ) -> list[Tensor]:
        """Return a stage's local gradient, the mean over the micro-batches.

        Args:
            index: The stage, among this rank's.
            entries: The stage's input for each micro-batch.
            end: Turns the stage's outputs for a micro-batch into what is differentiated, and the
                vector that multiplies it.
        """
        wanted = self._parameter_sets[index]
        total: list[Tensor] = []
        for micro_batch, entry in enumerate(entries):
            with torch.enable_grad():
                outputs, vector = end(self.module.run_stage(index, micro_batch, entry), micro_batch)
                if vector is not None:
                    outputs = outputs.to(vector.dtype)
            part = gradients(outputs, wanted, vector)
            if total:
                torch._foreach_add_(total, part)
            else:
                total = part
        if len(entries) > 1:
            torch._foreach_div_(total, len(entries))
        return total
