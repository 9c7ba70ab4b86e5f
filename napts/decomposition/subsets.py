"""Subdomains that are any sets of parameter tensors, for methods that evaluate the whole loss."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from napts.decomposition.cuts import PartitionError

Deal = Literal["random", "layers"]


@dataclass(frozen=True, eq=False)
class ParameterSubsets:
    """Disjoint sets of parameter tensors that together hold all trained parameters.

    Attributes:
        names: The parameters of each subdomain by name.
        tensors: The parameters of each subdomain.
        left_out: Parameters of the network that were frozen when it was divided, by name.
    """

    names: list[list[str]]
    tensors: list[list[Tensor]]
    left_out: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def parameter_sets(self) -> list[list[Tensor]]:
        """The parameters of each subdomain that has any in training now.

        Raises:
            PartitionError: If a parameter that was left out is in training now.
        """
        missed = [name for name, tensor in self.left_out.items() if tensor.requires_grad]
        if missed:
            raise PartitionError(
                f"parameters of no subdomain: {', '.join(missed)} were frozen when the network was "
                "divided; call deal_parameters again, and make a new optimizer from the result"
            )
        trained = [[tensor for tensor in own if tensor.requires_grad] for own in self.tensors]
        return [own for own in trained if own]

    def __len__(self) -> int:
        """Return the number of subdomains."""
        return len(self.names)


def deal_parameters(
    model: nn.Module, n_subdomains: int, *, deal: Deal = "random", seed: int = 0
) -> ParameterSubsets:
    """Deal the trained parameter tensors of a network to subdomains, about equally many to each.

    Subdomain ``i`` of ``N`` receives the next ``floor(left / (N - i))`` units; the last one gets
    what is left (APTS in weights, arXiv 2312.13677, section 3.1, and its authors' code).

    Args:
        model: Any network.
        n_subdomains: Number of subdomains ``N``, at least 1.
        deal: ``"random"`` shuffles the tensors first (the paper); ``"layers"`` deals whole modules
            in the order in which the network lists them.
        seed: Seed of the shuffle; torch's own random state is left alone.

    Returns:
        The subdomains, for :class:`napts.APTSW`.

    Raises:
        PartitionError: (a ``ValueError``) if there are fewer tensors, or layers, than subdomains.
    """
    units = layers_of(model) if deal == "layers" else _tensors(model)
    if not 1 <= n_subdomains <= len(units):
        kind = "layers with trained parameters" if deal == "layers" else "trained tensors"
        raise PartitionError(
            f"{type(model).__name__} has {len(units)} {kind}, n_subdomains must lie in "
            f"[1, {len(units)}], got {n_subdomains}"
        )
    if deal == "random":
        generator = torch.Generator().manual_seed(seed)
        units = [units[i] for i in torch.randperm(len(units), generator=generator).tolist()]
    names = []
    for index in range(n_subdomains):
        count = len(units) // (n_subdomains - index)
        names.append([name for unit in units[:count] for name in unit])
        units = units[count:]
    parameters = dict(model.named_parameters())
    left_out = {name: p for name, p in parameters.items() if not p.requires_grad}
    return ParameterSubsets(names, [[parameters[name] for name in own] for own in names], left_out)


def _tensors(model: nn.Module) -> list[list[str]]:
    return [[name] for name, parameter in model.named_parameters() if parameter.requires_grad]


def layers_of(model: nn.Module) -> list[list[str]]:
    """Return the names of each module's own trained parameters, for modules that have any."""
    seen = {name for (name,) in _tensors(model)}
    layers = []
    for prefix, module in model.named_modules():
        own = [f"{prefix}.{n}" if prefix else n for n, _ in module.named_parameters(recurse=False)]
        if layer := [name for name in own if name in seen]:
            layers.append(layer)
    return layers
