"""What the networks of a hierarchy cost relative to the finest one."""

from collections.abc import Sequence

import torch
from torch.utils.flop_counter import FlopCounterMode

from napts.optim.batch import Batch
from napts.optim.multilevel.hierarchy import Hierarchy


class NetworkCosts:
    """Shares of the finest network, by blocks and by operations.

    By blocks, the first and last layers cost nothing; the slides' authors do not say otherwise. By
    operations (matrix multiplications and convolutions, counted once on the first batch), a coarse
    network costs what it really does.

    Args:
        depths: Number of blocks of each level.

    Attributes:
        operations: Operations of a forward pass on each level; empty until they are counted.
    """

    def __init__(self, depths: Sequence[int]) -> None:
        self.by_blocks = [depth / depths[-1] for depth in depths]
        self.operations: list[int] = []

    @property
    def by_operations(self) -> list[float]:
        """Shares by operations; by blocks if nothing could be counted."""
        if not self.operations or not all(self.operations):
            return self.by_blocks
        return [count / self.operations[-1] for count in self.operations]

    def count(self, batch: Batch, hierarchy: Hierarchy) -> int:
        """Count the operations, unless that has been done.

        Later random numbers are not affected.

        Returns:
            How many passes it took; these are not part of the method.
        """
        if self.operations:
            return 0
        devices = hierarchy.layouts[-1].cuda_devices
        for level in range(len(self.by_blocks)):
            counter = FlopCounterMode(display=False)
            with hierarchy.at(level), torch.random.fork_rng(devices), torch.enable_grad(), counter:
                batch()
            self.operations.append(counter.get_total_flops())
        return len(self.operations)
