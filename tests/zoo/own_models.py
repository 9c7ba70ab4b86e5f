"""Models that people write themselves, out of torch.nn alone."""

from itertools import pairwise

import torch
from torch import Tensor, nn


class Recurrent(nn.Module):
    """An LSTM or GRU of several layers, whose outputs are tuples, between two layers."""

    def __init__(self, kind: type[nn.LSTM] | type[nn.GRU]) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 16)
        self.first = kind(16, 24, batch_first=True)
        self.second = kind(24, 24, batch_first=True)
        self.norm = nn.LayerNorm(24)
        self.head = nn.Linear(24, 20)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden, _ = self.first(self.embed(tokens))
        hidden, _ = self.second(hidden)
        return self.head(self.norm(hidden))


class CellByCell(nn.Module):
    """A recurrence written as a loop over time: one cell, called eight times."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Linear(5, 12)
        self.cell = nn.GRUCell(12, 12)
        self.head = nn.Sequential(nn.Linear(12, 12), nn.Tanh(), nn.Linear(12, 3))

    def forward(self, series: Tensor) -> Tensor:
        state = torch.zeros(series.shape[0], 12, dtype=series.dtype)
        for step in self.encode(series).unbind(1):
            state = self.cell(step, state)
        return self.head(state)


class AttentionBlock(nn.Module):
    """``nn.MultiheadAttention`` with its two outputs, and a skip connection."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        normed = self.norm(tokens)
        mixed, _weights = self.attention(normed, normed, normed)
        tokens = tokens + mixed
        return tokens + self.mlp(tokens)


class Attention(nn.Module):
    """A few blocks of attention with learned positions and tied embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 16)
        self.positions = nn.Parameter(0.1 * torch.randn(8, 16))
        self.blocks = nn.Sequential(*[AttentionBlock(16) for _ in range(4)])
        self.head = nn.Linear(16, 20, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.blocks(self.embed(tokens) + self.positions))


class Encoder(nn.Module):
    """``nn.TransformerEncoder`` with an optional mask of padding."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 16)
        layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 4)
        self.head = nn.Linear(16, 20)

    def forward(self, tokens: Tensor, padding: Tensor | None = None) -> Tensor:
        return self.head(self.encoder(self.embed(tokens), src_key_padding_mask=padding))


class Translator(nn.Module):
    """``nn.Transformer``: two inputs, encoder and decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.source, self.target = nn.Embedding(20, 16), nn.Embedding(20, 16)
        self.transformer = nn.Transformer(16, 2, 2, 2, 32, dropout=0.0, batch_first=True)
        self.head = nn.Linear(16, 20)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.head(self.transformer(self.source(source), self.target(target)))


class UNet(nn.Module):
    """Three resolutions; every one skips over all that lies below it."""

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2 = self._double(3, 8), self._double(8, 16)
        self.bottom = self._double(16, 32)
        self.pool = nn.MaxPool2d(2)
        self.grow2, self.up2 = nn.ConvTranspose2d(32, 16, 2, stride=2), self._double(32, 16)
        self.grow1, self.up1 = nn.ConvTranspose2d(16, 8, 2, stride=2), self._double(16, 8)
        self.head = nn.Conv2d(8, 5, 1)

    @staticmethod
    def _double(inputs: int, outputs: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for channels in (inputs, outputs):
            layers += [nn.Conv2d(channels, outputs, 3, padding=1), nn.BatchNorm2d(outputs)]
            layers += [nn.ReLU(inplace=True)]
        return nn.Sequential(*layers)

    def forward(self, inputs: Tensor) -> Tensor:
        fine = self.down1(inputs)
        coarse = self.down2(self.pool(fine))
        lowest = self.bottom(self.pool(coarse))
        coarse = self.up2(torch.cat([coarse, self.grow2(lowest)], 1))
        return self.head(self.up1(torch.cat([fine, self.grow1(coarse)], 1)))


class Autoencoder(nn.Module):
    """Encoder and decoder, both chains."""

    def __init__(self) -> None:
        super().__init__()
        sizes = (32, 24, 4)
        pairs = [*pairwise(sizes)]
        encoder = [nn.Sequential(nn.Linear(a, b), nn.Tanh()) for a, b in pairs]
        decoder = [nn.Sequential(nn.Tanh(), nn.Linear(b, a)) for a, b in reversed(pairs)]
        self.encoder, self.decoder = nn.Sequential(*encoder), nn.Sequential(*decoder)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.decoder(self.encoder(inputs))


class Variational(nn.Module):
    """A variational autoencoder: draws in its forward, returns three tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(32, 24), nn.ReLU())
        self.mean, self.scale = nn.Linear(24, 4), nn.Linear(24, 4)
        self.decoder = nn.Sequential(nn.Linear(4, 24), nn.ReLU(), nn.Linear(24, 32))

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        hidden = self.encoder(inputs)
        mean, scale = self.mean(hidden), self.scale(hidden)
        noise = torch.randn_like(mean)
        return self.decoder(mean + noise * (0.5 * scale).exp()), mean, scale


class DeepONet(nn.Module):
    """Two inputs: a sampled function and the points where the operator is wanted."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Sequential(nn.Linear(16, 24), nn.Tanh(), nn.Linear(24, 12))
        self.trunk = nn.Sequential(nn.Linear(1, 24), nn.Tanh(), nn.Linear(24, 12), nn.Tanh())
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, functions: Tensor, points: Tensor) -> Tensor:
        return self.branch(functions) @ self.trunk(points).T + self.bias


class GraphNetwork(nn.Module):
    """Features and an adjacency matrix, which every layer takes."""

    def __init__(self) -> None:
        super().__init__()
        widths = (8, 16, 16, 3)
        pairs = pairwise(widths)
        self.layers = nn.ModuleList([nn.Linear(a, b) for a, b in pairs])

    def forward(self, features: Tensor, adjacency: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            features = torch.relu(adjacency @ layer(features))
        return adjacency @ self.layers[-1](features)


class Experts(nn.Module):
    """A mixture of experts: which weights a sample meets depends on the sample."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(16, 3)
        self.experts = nn.ModuleList([nn.Linear(16, 16) for _ in range(3)])

    def forward(self, inputs: Tensor) -> Tensor:
        weights = self.gate(inputs).softmax(1)
        best, which = weights.max(1)
        outputs = torch.zeros_like(inputs)
        for index, expert in enumerate(self.experts):
            chosen = which == index
            if chosen.any():
                outputs[chosen] = expert(inputs[chosen])
        return inputs + best[:, None] * outputs


class EarlyExit(nn.Module):
    """A forward whose depth depends on the data: nothing can trace it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(8, 16)
        self.layers = nn.ModuleList([nn.Linear(16, 16) for _ in range(4)])
        self.head = nn.Linear(16, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.stem(inputs)
        for layer in self.layers:
            if hidden.norm() > 1e6:
                break
            hidden = hidden + torch.tanh(layer(hidden))
        return self.head(hidden)


def chain(*sizes: int, activation: type[nn.Module] = nn.Tanh) -> nn.Sequential:
    """A plain network."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), activation()]
    return nn.Sequential(*layers[:-1])


def discriminator() -> nn.Sequential:
    """A small convolutional discriminator."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(8, 16, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(16, 16, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(16, 1),
    )
