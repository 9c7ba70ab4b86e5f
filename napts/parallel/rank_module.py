"""The part of a network that one rank holds, and the boundary data that its stages keep."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from napts.decomposition.stage import Stage
from napts.optim.replay import RandomState
from napts.optim.vectors import cuda_devices

_STRIDE = 1 << 20
"""Distance between the seeds of successive stages; far more than there are micro-batches."""


@dataclass(slots=True)
class Boundary:
    """What one stage keeps of the captured pass, one tensor per micro-batch.

    Attributes:
        entries: Inputs ``a_{d-1}``, without their graphs.
        downstream: Gradients of the micro-batch's own mean loss at the outputs ``a_d``.
    """

    entries: list[Tensor] = field(default_factory=list)
    downstream: list[Tensor] = field(default_factory=list)


class RankModule(nn.Module):
    """Runs the stages of a rank, one micro-batch per call.

    Random numbers depend only on the pass, the stage and the micro-batch, so it does not matter
    which rank draws them or in which order a schedule runs the micro-batches.

    Args:
        stages: The rank's stages, in order.
        first: Index of the first of them in the whole network.
        device: Where they are.
    """

    def __init__(self, stages: Sequence[Stage], first: int, device: torch.device) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(stage.alone() for stage in stages)
        self._first = first
        self._devices = cuda_devices([torch.empty(0, device=device)])
        self._key = 0
        self._calls = 0
        self._boundaries: list[Boundary] | None = None

    @contextmanager
    def one_pass(self, boundaries: list[Boundary] | None = None) -> Iterator[None]:
        """Surround one pass of a whole batch.

        The key of its random numbers is drawn from torch's generator, which advances by that one
        number on every rank.

        Args:
            boundaries: Where boundary data are kept, one per stage; None keeps none.
        """
        self._key = int(torch.randint(2**31, ()))
        self._calls = 0
        self._boundaries = boundaries
        state = RandomState(self._devices)
        try:
            yield
        finally:
            self._boundaries = None
            state.restore()

    def forward(self, inputs: Tensor) -> Tensor:
        """Run all stages on the next micro-batch of the pass."""
        micro_batch = self._calls
        self._calls += 1
        for index, block in enumerate(self.blocks):
            self.seed(index, micro_batch)
            outputs = block(inputs)
            if self._boundaries is not None:
                self._boundaries[index].entries.append(inputs.detach())
                outputs.register_hook(self._boundaries[index].downstream.append)
            inputs = outputs
        return inputs

    def run_stage(self, index: int, micro_batch: int, entry: Tensor) -> Tensor:
        """Run one stage alone, with the random numbers of the latest pass."""
        self.seed(index, micro_batch)
        return self.blocks[index](entry)

    def seed(self, index: int, micro_batch: int) -> None:
        """Seed the generators for one stage and micro-batch of the pass."""
        seed = self._key + (self._first + index) * _STRIDE + micro_batch
        torch.default_generator.manual_seed(seed)
        if self._devices:
            torch.cuda.manual_seed(seed)
