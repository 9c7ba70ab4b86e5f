"""The small problem on which methods are followed by the flat-vector reference."""

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

SIZES = (6, 12, 10, 8, 4)


def network() -> nn.Sequential:
    """Four affine layers with tanh between them, in double precision."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(SIZES):
        layers += [nn.Linear(inputs, outputs), nn.Tanh()]
    return nn.Sequential(*layers[:-1]).double()


def start_from(model: nn.Module, values: np.ndarray) -> None:
    """Set the parameters to a flat vector's values, in memory of their own."""
    torch.nn.utils.vector_to_parameters(torch.from_numpy(values.copy()), model.parameters())
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()


def flat(model: nn.Module) -> np.ndarray:
    """The parameters as a flat vector."""
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()]).numpy()


def batches(sizes: Sequence[int] = (40, 40, 40, 23)) -> list[tuple[np.ndarray, np.ndarray]]:
    """Batches of these sizes of a noisy linear classification."""
    rng = np.random.default_rng(7)
    teacher = rng.normal(size=(SIZES[0], SIZES[-1]))
    inputs = [rng.normal(size=(size, SIZES[0])) for size in sizes]
    return [(x, (x @ teacher + rng.normal(size=(len(x), 4))).argmax(axis=1)) for x in inputs]
