"""Passes over the ranks by PyTorch's pipeline engine."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleGPipe

Schedule = Literal["gpipe", "1f1b"]
Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Place:
    """The position of a rank in the pipeline, and what passes in and out there.

    Attributes:
        rank: Index of the rank.
        size: Number of ranks.
        device: Where it computes.
        dtype: Type of the activations.
        entry_shape: Shape of one sample that comes in.
        exit_shape: Shape of one sample that goes out.
        group: Process group; None for all ranks.
    """

    rank: int
    size: int
    device: torch.device
    dtype: torch.dtype
    entry_shape: torch.Size
    exit_shape: torch.Size
    group: dist.ProcessGroup | None = None

    @property
    def is_first(self) -> bool:
        """Whether batches come in here."""
        return self.rank == 0

    @property
    def is_last(self) -> bool:
        """Whether the loss is computed here."""
        return self.rank == self.size - 1


class Engine:
    """Runs batches of one size through the ranks, forward or forward and backward.

    PyTorch's engine freezes shapes and buffers, so there is one for every batch size, and within it
    one schedule for each kind of pass: a schedule that changes its kind negotiates anew.

    Args:
        module: This rank's part of the network.
        place: Where the rank stands.
        loss: Mean loss of a micro-batch from outputs and targets.
        micro_batches: Number of micro-batches.
        micro_size: Samples of each.
        schedule: ``"gpipe"`` or ``"1f1b"``. The latter needs at least as many micro-batches as
            ranks; with fewer, the former takes its place, with the same results.

    Attributes:
        bytes_sent: Bytes that this rank has sent to its neighbours so far.
    """

    def __init__(
        self,
        module: nn.Module,
        place: Place,
        loss: Loss,
        *,
        micro_batches: int,
        micro_size: int,
        schedule: Schedule,
    ) -> None:
        self.bytes_sent = 0
        self._place = place
        self._micro_batches = micro_batches
        kind = Schedule1F1B if schedule == "1f1b" and micro_batches >= place.size else ScheduleGPipe
        self._training = kind(
            _stage(module, place, micro_size, differentiable=True), micro_batches, loss
        )
        self._forward = ScheduleGPipe(
            _stage(module, place, micro_size, differentiable=False), micro_batches, loss
        )
        sizes = [shape.numel() for shape in (place.entry_shape, place.exit_shape)]
        width = torch.empty((), dtype=place.dtype).element_size()
        samples = micro_batches * micro_size
        self._entry_bytes, self._exit_bytes = (samples * size * width for size in sizes)

    def forward_backward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Run forward and backward; gradients of the mean loss are added to ``.grad``.

        Args:
            inputs: ``(n, ...)`` inputs; used on the first rank.
            targets: ``(n,)`` targets; used on the last rank.

        Returns:
            This rank's share of the mean loss: all of it on the last rank, 0 elsewhere.
        """
        losses: list[Tensor] = []
        self.bytes_sent += 0 if self._place.is_first else self._entry_bytes
        self.bytes_sent += 0 if self._place.is_last else self._exit_bytes
        with torch.enable_grad(), _plain_errors():
            self._training.step(
                *self._inputs(inputs),
                target=self._targets(targets),
                losses=losses,
                return_outputs=False,
            )
        return self._mean(losses)

    @torch.no_grad()
    def forward(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | None]:
        """Run forward.

        Args:
            inputs: As in :meth:`forward_backward`.
            targets: Likewise.

        Returns:
            This rank's share of the mean loss, and on the last rank the outputs ``(n, ...)``.
        """
        losses: list[Tensor] = []
        self.bytes_sent += 0 if self._place.is_last else self._exit_bytes
        with _plain_errors():
            outputs = self._forward.eval(
                *self._inputs(inputs), target=self._targets(targets), losses=losses
            )
        return self._mean(losses), outputs

    def _inputs(self, inputs: Tensor) -> tuple[Tensor, ...]:
        return (inputs,) if self._place.is_first else ()

    def _targets(self, targets: Tensor) -> Tensor | None:
        return targets if self._place.is_last else None

    def _mean(self, losses: list[Tensor]) -> Tensor:
        if not losses:
            return torch.zeros((), dtype=self._place.dtype, device=self._place.device)
        return torch.stack([loss.detach() for loss in losses]).mean()


def micro_batch_count(batch_size: int, wanted: int) -> int:
    """Return how many micro-batches a batch is divided into.

    The engine moves tensors of one shape, and a mean of means is the mean only if all parts have
    the same weight, so the parts are equal. A batch that ``wanted`` does not divide (the smaller
    last one of an epoch, say) is cut into the next smaller number of equal parts.

    Args:
        batch_size: Samples of the batch, at least 1.
        wanted: Micro-batches asked for, at least 1.

    Returns:
        The largest divisor of ``batch_size`` that is at most ``wanted``.
    """
    return next(n for n in range(min(wanted, batch_size), 0, -1) if batch_size % n == 0)


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Raise what the network raised, not the engine's description of what it was doing."""
    try:
        yield
    except RuntimeError as error:
        if error.__cause__ is not None and "failed to run forward" in str(error):
            raise error.__cause__ from None
        raise


def _stage(
    module: nn.Module, place: Place, micro_size: int, *, differentiable: bool
) -> PipelineStage:
    def example(shape: torch.Size, requires_grad: bool) -> Tensor:
        options = {"dtype": place.dtype, "device": place.device}
        return torch.empty(micro_size, *shape, **options, requires_grad=requires_grad)

    # With both examples given, the engine never runs the module to find out shapes, which would
    # show uninitialised tensors to BatchNorm.
    return PipelineStage(
        module,
        place.rank,
        place.size,
        place.device,
        input_args=(example(place.entry_shape, differentiable and not place.is_first),),
        output_args=(example(place.exit_shape, differentiable),),
        group=place.group,
    )
