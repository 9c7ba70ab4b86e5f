"""Small networks and batches for the tests of the methods."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import napts

METHODS = ("TR", "NTR", "APTS", "APTSA", "NAPTS")
ALL_METHODS = (*METHODS, "APTSW")


class PassMeter(nn.Module):
    """An identity that counts how often it is passed forwards and backwards."""

    def __init__(self) -> None:
        super().__init__()
        self.forwards = 0
        self.backwards = 0

    def forward(self, inputs: Tensor) -> Tensor:
        self.forwards += 1
        outputs = inputs.clone()
        if outputs.requires_grad:
            outputs.register_hook(self._count)
        return outputs

    def _count(self, _gradient: Tensor) -> None:
        self.backwards += 1


def plain(dtype: torch.dtype = torch.float64) -> nn.Sequential:
    """Four affine layers."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 12), nn.ReLU()]
    layers += [nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 4)]
    return nn.Sequential(*layers).to(dtype)


def noisy() -> nn.Sequential:
    """Four blocks with BatchNorm and dropout."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, 16),
        nn.BatchNorm1d(16),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(16, 12),
        nn.BatchNorm1d(12, momentum=None),
        nn.ReLU(inplace=True),
        nn.Linear(12, 8),
        nn.Dropout(0.2),
        nn.Linear(8, 4),
    ).double()


def with_relu() -> nn.Sequential:
    """Three affine layers with kinks between them."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4)
    ).double()


def smooth() -> nn.Sequential:
    """Three affine layers without kinks."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 4)
    ).double()


def batch(seed: int = 1, samples: int = 50, dtype: torch.dtype = torch.float64) -> tuple:
    """Inputs and targets of a noisy linear classification."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(samples, 6, generator=generator, dtype=torch.float64)
    teacher = torch.randn(6, 4, generator=torch.Generator().manual_seed(99), dtype=torch.float64)
    noise = torch.randn(samples, 4, generator=generator, dtype=torch.float64)
    return inputs.to(dtype), (inputs @ teacher + noise).argmax(1)


def closure(model: nn.Module, data: tuple[Tensor, Tensor]) -> Callable[[], Tensor]:
    """The loss of one batch."""
    return lambda: nn.functional.cross_entropy(model(data[0]), data[1])


def make(method: str, model: nn.Module, **options: Any) -> Any:
    """Build a method on a model, with four subdomains where it has any."""
    if method in ("TR", "NTR"):
        return getattr(napts, method)(model.parameters(), **options)
    if method == "APTSW":
        return napts.APTSW(napts.deal_parameters(model, 4), **options)
    return getattr(napts, method)(napts.partition_layers(model, 4), **options)


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    """Copies of all parameters and buffers."""
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    """Whether two snapshots agree bit for bit."""
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)
