"""Networks for differential equations: the residual one with trainable slopes, and a plain one."""

from typing import Literal

import torch
from torch import Tensor, nn

Architecture = Literal["resnet_adaptive", "mlp"]

SLOPE_FACTOR = 10.0
"""The factor ``n`` beside a trainable slope, whose initial value is ``1 / n``."""


class SlopeLayer(nn.Linear):
    """One step ``z + dt tanh(n a (W z + b))``, whose slope ``a`` is trained too.

    Weight, bias and slope belong to one module, and so to one subdomain. As a parameter, the slope
    moves with the network between devices.

    Args:
        width: Number of units.
        step: The step length ``dt``.
    """

    def __init__(self, width: int, step: float) -> None:
        super().__init__(width, width)
        self.slope = nn.Parameter(torch.full((), 1.0 / SLOPE_FACTOR))
        self.step = step

    def forward(self, input: Tensor) -> Tensor:
        """Return the next state, in the shape of this one."""
        return input + self.step * torch.tanh(SLOPE_FACTOR * self.slope * super().forward(input))


def pde_network(
    inputs: int, hidden_layers: int, width: int, architecture: Architecture, time: float = 2.0
) -> nn.Sequential:
    """Return a network from points to one number each.

    Weights are drawn from Xavier's uniform distribution and biases are 0 (our choice: the authors'
    code has both and calls neither).

    Args:
        inputs: Number of coordinates of a point.
        hidden_layers: Number ``H`` of hidden layers, at least 2 for the residual network.
        width: Units of each of them.
        architecture: ``"resnet_adaptive"``: an input layer, ``H`` residual steps with trainable
            slopes and an output layer, as in the authors' code. ``"mlp"``: the slides' wording.
        time: The length ``T`` of the time interval that the residual steps divide,
            ``dt = T / (H - 1)``.
    """
    layers: list[nn.Module] = [nn.Linear(inputs, width), nn.Tanh()]
    if architecture == "mlp":
        for _ in range(hidden_layers - 1):
            layers += [nn.Linear(width, width), nn.Tanh()]
    else:
        step = time / max(hidden_layers - 1, 1)
        layers += [SlopeLayer(width, step) for _ in range(hidden_layers)]
    network = nn.Sequential(*layers, nn.Linear(width, 1))
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    return network
