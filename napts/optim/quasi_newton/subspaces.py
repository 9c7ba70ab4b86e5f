"""Subdomains as parts of one flat vector: the restrictions ``R_s`` and extensions ``E_s``."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from napts.optim.quasi_newton.function import Function
from napts.optim.subdomains import ParameterSets
from napts.optim.vectors import Layout


@runtime_checkable
class LayerSets(ParameterSets, Protocol):
    """Sets of layers, which may overlap and leave some out; see napts.decomposition."""

    @property
    def parameters(self) -> Sequence[Tensor]:
        """All trained parameters, including those in no set."""
        ...

    @property
    def layers(self) -> int:
        """Number of layers of the network."""
        ...

    @property
    def first_layers(self) -> Sequence[Sequence[Tensor]]:
        """The parameters of the first layer of each set."""
        ...


class Subspace:
    """Some parameters, as a part of the vector of all.

    Args:
        parameters: The parameters.
        places: Where each parameter begins in the vector, by identity.
    """

    def __init__(self, parameters: Sequence[Tensor], places: dict[int, int]) -> None:
        self.parameters = list(parameters)
        self.layout = Layout([self.parameters])
        self._slices = [slice(places[id(p)], places[id(p)] + p.numel()) for p in self.parameters]

    @property
    def size(self) -> int:
        """Number of variables ``n_s``."""
        return sum(self.layout.sizes)

    def restrict(self, vector: Tensor) -> Tensor:
        """Return ``R_s vector``."""
        return torch.cat([vector[place] for place in self._slices])

    def add_to(self, vector: Tensor, part: Tensor) -> None:
        """Add ``E_s part`` to a vector."""
        sizes = [place.stop - place.start for place in self._slices]
        for place, piece in zip(self._slices, part.split(sizes), strict=True):
            vector[place] += piece


def subspaces(layout: Layout, sets: Sequence[Sequence[Tensor]]) -> list[Subspace]:
    """Return the subspaces of sets of parameters.

    Args:
        layout: All parameters, in one block.
        sets: Parameters of each subdomain.
    """
    places, start = {}, 0
    for parameter in layout.parameters:
        places[id(parameter)] = start
        start += parameter.numel()
    return [Subspace(parameters, places) for parameters in sets]


def covering(spaces: Sequence[Subspace], like: Tensor) -> Tensor:
    """Return how many subspaces each variable is in, at least 1 so that it can be a divisor."""
    count = torch.zeros_like(like)
    for space in spaces:
        space.add_to(count, torch.ones(space.size, dtype=like.dtype, device=like.device))
    return count.clamp_(min=1.0)


def restricted_gradient(function: Function, space: Subspace) -> Tensor:
    """Return ``R_s grad L`` at the point where the loss was last evaluated."""
    return space.layout.flatten_block(function.gradient(space.parameters))
