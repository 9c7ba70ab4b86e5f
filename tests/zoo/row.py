"""One row of the zoo: a model, its data, its loss and how it is cut."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

import napts

Data = Mapping[str, Tensor]
Cuts = int | tuple[str, ...]
METHODS = ("TR", "NTR", "STTR", "APTSW", "APTS", "NAPTS", "NAPTS light")
FEW = ("TR", "STTR", "NAPTS", "NAPTS light")
"""What models of more than two million weights are trained with, for the sake of time."""


@dataclass(frozen=True)
class Row:
    """A model of the zoo.

    Attributes:
        name: Name for the table.
        family: Where the model comes from: "torchvision", "torch", "timm" or "transformers".
        build: Makes the model, with random weights.
        data: Makes the one batch that it is trained on.
        loss: The closure's body.
        cuts: Number of blocks of the automatic partition, or the modules that begin new ones.
        refusal: What the automatic partition says of a model that is cut by hand.
        warns: A parameter of which a cut by hand is warned, as it is used outside of its block.
        note: What is particular about the model, for the table.
        methods: With which methods it is trained.
        options: Options of all methods, where the defaults do not do.
    """

    name: str
    family: str
    build: Callable[[], nn.Module]
    data: Callable[[], Data]
    loss: Callable[[nn.Module, Data], Tensor]
    cuts: Cuts = 4
    refusal: str = ""
    warns: str = ""
    note: str = ""
    methods: tuple[str, ...] = METHODS
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name

    @property
    def by_hand(self) -> bool:
        """Whether the cuts are named."""
        return not isinstance(self.cuts, int)

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return self.cuts if isinstance(self.cuts, int) else len(self.cuts) + 1

    def model(self, dtype: torch.dtype = torch.float32) -> nn.Module:
        """Build the model, always with the same weights, in training mode."""
        torch.manual_seed(0)
        return self.build().to(dtype).train()

    def batch(self, dtype: torch.dtype = torch.float32) -> Data:
        """Make the batch, always the same."""
        torch.manual_seed(1)
        return {k: v.to(dtype) if v.is_floating_point() else v for k, v in self.data().items()}

    def closure(self, model: nn.Module) -> Callable[[], Tensor]:
        """Return the closure of that batch."""
        dtype = next(p.dtype for p in model.parameters() if p.is_floating_point())
        data = self.batch(dtype)
        return lambda: self.loss(model, data)

    def partition(self, model: nn.Module) -> napts.LayerPartition:
        """Cut the model."""
        if isinstance(self.cuts, int):
            return napts.partition_layers(model, self.cuts)
        return napts.partition_layers(model, cuts=list(self.cuts))


def images(size: int = 32, samples: int = 4, classes: int = 10) -> Callable[[], Data]:
    """Random images ``(samples, 3, size, size)`` with random labels."""

    def make() -> Data:
        pictures = torch.randn(samples, 3, size, size)
        return {"inputs": pictures, "targets": torch.randint(classes, (samples,))}

    return make


def classify(model: nn.Module, data: Data) -> Tensor:
    """Cross-entropy of a model of one input."""
    return nn.functional.cross_entropy(model(data["inputs"]), data["targets"])
