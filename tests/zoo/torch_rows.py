"""Models out of torch.nn, and losses that need more than one call or derivatives by the input."""

from functools import partial

import torch
from torch import Tensor, nn

from tests.zoo import own_models as own
from tests.zoo.row import Data, Row

_row = partial(Row, family="torch")


def _tokens(length: int = 8) -> Data:
    return {"tokens": torch.randint(20, (6, length)), "targets": torch.randint(20, (6, length))}


def _over_tokens(model: nn.Module, data: Data) -> Tensor:
    outputs = model(data["tokens"])
    return nn.functional.cross_entropy(outputs.flatten(0, 1), data["targets"].flatten())


def _padded() -> Data:
    padding = torch.zeros(6, 8, dtype=torch.bool)
    padding[:, 6:] = True
    return {**_tokens(), "padding": padding}


def _with_padding(model: nn.Module, data: Data) -> Tensor:
    outputs = model(data["tokens"], padding=data["padding"])
    return nn.functional.cross_entropy(outputs.flatten(0, 1), data["targets"].flatten())


def _pairs() -> Data:
    return {**_tokens(), "shifted": torch.randint(20, (6, 8))}


def _translate(model: nn.Module, data: Data) -> Tensor:
    outputs = model(data["tokens"], data["shifted"])
    return nn.functional.cross_entropy(outputs.flatten(0, 1), data["targets"].flatten())


def _series() -> Data:
    return {"inputs": torch.randn(6, 8, 5), "targets": torch.randint(3, (6,))}


def _features(width: int = 32, classes: int = 3, samples: int = 16) -> Data:
    return {
        "inputs": torch.randn(samples, width),
        "targets": torch.randint(classes, (samples,)),
    }


def _classify(model: nn.Module, data: Data) -> Tensor:
    return nn.functional.cross_entropy(model(data["inputs"]), data["targets"])


def _masks() -> Data:
    return {"inputs": torch.randn(2, 3, 16, 16), "targets": torch.randint(5, (2, 16, 16))}


def _reconstruct(model: nn.Module, data: Data) -> Tensor:
    return nn.functional.mse_loss(model(data["inputs"]), data["inputs"])


def _evidence(model: nn.Module, data: Data) -> Tensor:
    outputs, mean, scale = model(data["inputs"])
    divergence = (mean.square() + scale.exp() - 1 - scale).sum(1).mean() / 2
    return nn.functional.mse_loss(outputs, data["inputs"]) + 0.01 * divergence


def _real_and_fake() -> Data:
    return {"real": torch.randn(6, 3, 8, 8) + 0.5, "fake": torch.randn(6, 3, 8, 8)}


def _discriminate(model: nn.Module, data: Data) -> Tensor:
    softplus = nn.functional.softplus
    return softplus(-model(data["real"])).mean() + softplus(model(data["fake"])).mean()


def _with_gradient_penalty(model: nn.Module, data: Data) -> Tensor:
    """The loss of a critic whose gradient by its input is kept near length one."""
    between = (data["real"] + data["fake"]).div(2).requires_grad_()
    (slope,) = torch.autograd.grad(model(between).sum(), between, create_graph=True)
    penalty = (slope.flatten(1).norm(dim=1) - 1).square().mean()
    return model(data["fake"]).mean() - model(data["real"]).mean() + 10 * penalty


def _points() -> Data:
    return {"inside": torch.rand(24, 2), "border": torch.rand(12, 1).repeat(1, 2).floor()}


def _poisson(model: nn.Module, data: Data) -> Tensor:
    """``-u'' = 1`` in the unit square and ``u = 0`` on two corners: two calls, second order."""
    inside = data["inside"].clone().requires_grad_()
    values = model(inside)
    (slope,) = torch.autograd.grad(values.sum(), inside, create_graph=True)
    parts = [
        torch.autograd.grad(slope[:, axis].sum(), inside, create_graph=True)[0][:, axis]
        for axis in range(2)
    ]
    return (parts[0] + parts[1] + 1).square().mean() + model(data["border"]).square().mean()


def _operator() -> Data:
    return {
        "functions": torch.randn(10, 16),
        "points": torch.rand(12, 1),
        "targets": torch.randn(10, 12),
    }


def _learn_operator(model: nn.Module, data: Data) -> Tensor:
    outputs = model(data["functions"], points=data["points"])
    return nn.functional.mse_loss(outputs, data["targets"])


def _graph() -> Data:
    links = (torch.rand(12, 12) < 0.3).float() + torch.eye(12)
    return {
        "features": torch.randn(12, 8),
        "adjacency": links / links.sum(1, keepdim=True),
        "targets": torch.randint(3, (12,)),
    }


def _classify_nodes(model: nn.Module, data: Data) -> Tensor:
    outputs = model(data["features"], data["adjacency"])
    return nn.functional.cross_entropy(outputs, data["targets"])


def _views() -> Data:
    pictures = torch.randn(8, 16)
    return {f"view_{i}": pictures + 0.1 * torch.randn(8, 16) for i in (1, 2)}


def _contrast(model: nn.Module, data: Data) -> Tensor:
    """Each sample's two views shall be more alike than two samples: one model called twice."""
    first, second = (nn.functional.normalize(model(data[f"view_{i}"]), dim=1) for i in (1, 2))
    return nn.functional.cross_entropy(first @ second.T / 0.2, torch.arange(len(first)))


def _experts() -> nn.Module:
    return nn.Sequential(
        nn.Linear(16, 16),
        own.Experts(),
        nn.Linear(16, 16),
        nn.Tanh(),
        own.Experts(),
        nn.Linear(16, 3),
    )


def _normalised() -> nn.Module:
    layers = [nn.Linear(32, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2)]
    layers += [nn.Linear(16, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3)]
    return nn.Sequential(*layers)


ROWS = [
    _row("BatchNorm and dropout", build=_normalised, data=_features, loss=_classify, cuts=3),
    _row(
        "LSTM",
        build=lambda: own.Recurrent(nn.LSTM),
        data=_tokens,
        loss=_over_tokens,
        note="layers return tuples",
    ),
    _row(
        "GRU",
        build=lambda: own.Recurrent(nn.GRU),
        data=_tokens,
        loss=_over_tokens,
        note="layers return tuples",
    ),
    _row(
        "GRU cell, a loop over time",
        build=own.CellByCell,
        data=_series,
        loss=_classify,
        cuts=("head.0",),
        refusal="torch.fx cannot trace its forward",
        note="one cell called eight times",
    ),
    _row(
        "nn.MultiheadAttention",
        build=own.Attention,
        data=_tokens,
        loss=_over_tokens,
        cuts=("blocks.1", "blocks.2", "blocks.3"),
        refusal="divides into at most 1 blocks",
        note="tied embeddings",
    ),
    _row(
        "nn.TransformerEncoder",
        build=own.Encoder,
        data=_padded,
        loss=_with_padding,
        cuts=("layers.1", "layers.2", "layers.3"),
        refusal="divides into at most 3 blocks",
        note="optional keyword input",
    ),
    _row(
        "nn.Transformer",
        build=own.Translator,
        data=_pairs,
        loss=_translate,
        cuts=("encoder.layers.1", "decoder.layers.0", "decoder.layers.1"),
        refusal="must have one input, found: source, target",
        warns="target.weight",
        note="two inputs",
    ),
    _row("U-Net", build=own.UNet, data=_masks, loss=_classify, cuts=3),
    _row("autoencoder", build=own.Autoencoder, data=_features, loss=_reconstruct),
    _row(
        "variational autoencoder",
        build=own.Variational,
        data=_features,
        loss=_evidence,
        cuts=("decoder.0", "decoder.2"),
        refusal="divides into at most 2 blocks",
        note="draws in its forward, three outputs",
    ),
    _row(
        "discriminator",
        build=own.discriminator,
        data=_real_and_fake,
        loss=_discriminate,
        note="called twice",
    ),
    _row(
        "critic with gradient penalty",
        build=own.discriminator,
        data=_real_and_fake,
        loss=_with_gradient_penalty,
        note="called three times, second derivatives",
    ),
    _row(
        "PINN",
        build=lambda: own.chain(2, 16, 16, 16, 1),
        data=_points,
        loss=_poisson,
        note="called twice, third derivatives",
    ),
    _row(
        "DeepONet",
        build=own.DeepONet,
        data=_operator,
        loss=_learn_operator,
        cuts=("branch.2", "trunk.0", "trunk.2"),
        refusal="must have one input, found: functions, points",
        warns="branch.2.weight",
        note="two inputs",
    ),
    _row(
        "graph network",
        build=own.GraphNetwork,
        data=_graph,
        loss=_classify_nodes,
        cuts=("layers.1", "layers.2"),
        refusal="must have one input, found: features, adjacency",
        note="two inputs, one used by every layer",
    ),
    _row(
        "contrastive pair",
        build=lambda: own.chain(16, 24, 24, 8),
        data=_views,
        loss=_contrast,
        cuts=3,
        note="called twice",
    ),
    _row(
        "mixture of experts",
        build=_experts,
        data=partial(_features, 16),
        loss=_classify,
        note="control flow that depends on data, inside blocks",
    ),
    _row(
        "early exit",
        build=own.EarlyExit,
        data=partial(_features, 8),
        loss=_classify,
        cuts=("layers.0", "layers.2", "head"),
        refusal="torch.fx cannot trace its forward",
        note="control flow that depends on data, in the forward",
    ),
]
