"""How a network is spread over ranks: which stages go where, and their names."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from napts.decomposition.stages import LayerPartition


def shares(stages: int, ranks: int) -> list[tuple[int, int]]:
    """Divide stages among ranks: contiguous, as even as possible, the first ones larger.

    Args:
        stages: Number of stages.
        ranks: Number of ranks, at most that of stages.

    Returns:
        For each rank, the index of its first stage and of the one after its last.
    """
    base, extra = divmod(stages, ranks)
    bounds = [0]
    for rank in range(ranks):
        bounds.append(bounds[-1] + base + (rank < extra))
    return list(pairwise(bounds))


@torch.no_grad()
def sample_shapes(partition: LayerPartition, example_inputs: Tensor) -> list[torch.Size]:
    """Return the shape of one sample before the first stage, between the stages and at the end.

    This runs in evaluation mode, so that buffers and generators are not affected.
    """
    everything = [partition.model, *(stage.alone() for stage in partition)]
    modes = [(module, module.training) for part in everything for module in part.modules()]
    shapes, current = [example_inputs.shape[1:]], example_inputs
    try:
        for stage in partition:
            current = stage.alone().eval()(current)
            shapes.append(current.shape[1:])
    finally:
        for module, training in modes:
            module.training = training
    return shapes


def tensors_of(module: nn.Module) -> list[Tensor]:
    """Return all parameters and buffers of a module."""
    return [*module.parameters(), *module.buffers()]


def names_in(model: nn.Module, part: nn.Module) -> dict[str, int]:
    """Return the names of a part's tensors in the whole model, with their identities."""
    own = {id(t) for t in tensors_of(part)}
    named = [*model.named_parameters(), *model.named_buffers()]
    return {name: id(t) for name, t in named if id(t) in own}
