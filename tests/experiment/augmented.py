"""A problem of one's own: samples from a loader, with random transforms and augmentation."""

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import napts
from napts.problems import SampleSet


class Noisy(Dataset[tuple[Tensor, Tensor]]):
    """Samples that differ whenever they are read."""

    def __init__(self, first: int, count: int, noise: float) -> None:
        inputs = torch.linspace(-1, 1, 3 * (first + count)).sin().mul(40).cos().reshape(-1, 3)
        self.inputs = inputs[first:]
        self.noise = noise

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        inputs = self.inputs[index]
        return inputs + self.noise * torch.randn(3), inputs.sum().reshape(1)


@napts.register_problem("augmented")
class Augmented(napts.Problem):
    batch_size = 16
    primary = ("mae", "min")

    def network(self) -> nn.Module:
        hidden = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.1))
        return nn.Sequential(*hidden, nn.Linear(8, 1))

    def data(self, root=None):
        train = DataLoader(Noisy(0, 70, 0.1), batch_size=16, shuffle=True)
        return train, DataLoader(Noisy(70, 20, 0.0), batch_size=16), Noisy(90, 20, 0.0)

    def loss(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        inputs, targets = batch
        return ((model(inputs) - targets) ** 2).mean()

    def metrics(self, model: nn.Module, samples: SampleSet) -> dict[str, Tensor]:
        inputs, targets = samples.all()
        return {"mae": (model(inputs) - targets).abs().mean()}

    def augment(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        inputs, targets = batch
        return inputs * (1 + 0.05 * torch.randn_like(inputs)), targets
