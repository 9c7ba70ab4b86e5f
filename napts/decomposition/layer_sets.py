"""Sets of consecutive layers, for methods that evaluate the whole loss."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from napts.decomposition.cuts import PartitionError
from napts.decomposition.subsets import layers_of

Split = Literal["balanced", "authors"]


@dataclass(frozen=True, eq=False)
class LayerSubsets:
    """Sets of consecutive layers of a network.

    Attributes:
        names: The parameters of each layer by name, in the order of the network.
        tensors: The parameters of each layer.
        ranges: The layers of each subdomain.
    """

    names: list[list[str]]
    tensors: list[list[Tensor]]
    ranges: list[range]

    @property
    def layers(self) -> int:
        """Number of layers."""
        return len(self.names)

    @property
    def parameters(self) -> list[Tensor]:
        """All parameters in training now, in the order of the network."""
        return [tensor for layer in self.tensors for tensor in layer if tensor.requires_grad]

    @property
    def parameter_sets(self) -> list[list[Tensor]]:
        """The parameters of each subdomain that has any in training now."""
        sets = [_trained([t for i in own for t in self.tensors[i]]) for own in self.ranges]
        return [own for own in sets if own]

    @property
    def first_layers(self) -> list[list[Tensor]]:
        """The parameters of the first layer of each subdomain."""
        return [_trained(self.tensors[own[0]]) for own in self.ranges]

    def __len__(self) -> int:
        """Return the number of subdomains."""
        return len(self.ranges)


def split_layers(
    model: nn.Module, n_subdomains: int, *, split: Split = "balanced", overlap: int = 0
) -> LayerSubsets:
    """Split the layers of a network into consecutive sets.

    A layer is a module with parameters of its own; these stay together.

    Args:
        model: Any network that lists its modules in order.
        n_subdomains: Number of subdomains ``S``, from 1 to the number of layers ``L``.
        split: ``"balanced"`` puts every layer in a set; the numbers of layers differ by at most
            one, with the larger sets first. ``"authors"`` gives ``round(L / S)`` layers to each, as
            in the code of arXiv 2306.17648. This may leave the last layers in no subdomain, or the
            last subdomains without layers; those are then left out.
        overlap: How many layers of its neighbours on either side a subdomain also has.

    Returns:
        The sets, for :class:`napts.ASPQN` and :class:`napts.MSPQN`.

    Raises:
        PartitionError: (a ``ValueError``) if there are fewer layers than subdomains.
        ValueError: If the overlap is negative.
    """
    names = layers_of(model)
    count = len(names)
    if not 1 <= n_subdomains <= count:
        raise PartitionError(
            f"{type(model).__name__} has {count} layers with trained parameters, n_subdomains must "
            f"lie in [1, {count}], got {n_subdomains}"
        )
    if overlap < 0:
        raise ValueError(f"Invalid overlap: {overlap}, must be integer >= 0")
    parts = _authors(count, n_subdomains) if split == "authors" else _balanced(count, n_subdomains)
    wide = [range(max(p.start - overlap, 0), min(p.stop + overlap, count)) for p in parts]
    parameters = dict(model.named_parameters())
    return LayerSubsets(names, [[parameters[name] for name in own] for own in names], wide)


def _balanced(layers: int, subdomains: int) -> list[range]:
    size, larger = divmod(layers, subdomains)
    stops = [size * (s + 1) + min(s + 1, larger) for s in range(subdomains)]
    return [range(start, stop) for start, stop in zip([0, *stops], stops, strict=False)]


def _authors(layers: int, subdomains: int) -> list[range]:
    size = round(layers / subdomains)  # half to even, as there
    parts = [range(s * size, min((s + 1) * size, layers)) for s in range(subdomains)]
    return [part for part in parts if part]


def _trained(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [tensor for tensor in tensors if tensor.requires_grad]
