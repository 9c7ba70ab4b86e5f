"""A small network with quasi-Newton methods on it, for their tests."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import napts
from napts.optim.quasi_newton.function import Function
from napts.optim.quasi_newton.local_lbfgs import LocalLBFGS
from napts.optim.quasi_newton.subspaces import subspaces
from napts.optim.step_context import StepContext
from napts.optim.vectors import Layout

DOUBLE = torch.float64
DOUBLE = torch.float64
LAYERED = ("ASPQN", "MSPQN")
ALL = (*LAYERED, "MomentumLBFGS", "AdamLBFGS", "SSBroyden")


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    layers = [nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 5), nn.Tanh()]
    return nn.Sequential(*layers, nn.Linear(5, 1)).to(DOUBLE)


def samples() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    inputs = torch.randn(40, 2, generator=generator, dtype=DOUBLE)
    return inputs, torch.sin(2 * inputs[:, :1]) * inputs[:, 1:]


def problem_of(model: nn.Module) -> napts.Batch:
    def loss(data: tuple[Tensor, Tensor]) -> Tensor:
        return (model(data[0]) - data[1]).square().mean()

    batch = napts.Batch(loss, samples())
    batch.function_key = "the same"
    return batch


def make(method: str, model: nn.Module, subdomains: int = 4, **options: Any) -> Any:
    kind: Any = getattr(napts, method)
    if method in LAYERED:
        return kind(napts.split_layers(model, subdomains), **options)
    return kind(model.parameters(), **options)


def flat(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])


def trained(method: str, steps: int, subdomains: int = 4, **options: Any) -> tuple[Any, Any]:
    model = network()
    optimizer = make(method, model, subdomains, **options)
    records = []
    for _ in range(steps):
        optimizer.step(problem_of(model))
        records.append(optimizer.last_step)
    return model, records


def as_function(model: nn.Module) -> Any:
    batch = problem_of(model)
    parameters = list(model.parameters())

    def function(theta: np.ndarray) -> tuple[float, np.ndarray]:
        vector = torch.from_numpy(theta.copy())
        sizes = [p.numel() for p in parameters]
        with torch.no_grad():
            for p, part in zip(parameters, vector.split(sizes), strict=True):
                p.copy_(part.view_as(p))
        loss = batch()
        gradient = torch.autograd.grad(loss, parameters)
        return loss.item(), torch.cat([g.reshape(-1) for g in gradient]).numpy()

    return function


def local_phase(kind: Any, subdomains: int = 4, overlap: int = 0) -> Any:
    model = network()
    sets = napts.split_layers(model, subdomains, overlap=overlap)
    layout = Layout([sets.parameters])
    spaces = subspaces(layout, sets.parameter_sets)
    solvers = [LocalLBFGS(3, 3) for _ in spaces]
    with torch.no_grad():
        function = Function(problem_of(model), layout, StepContext())
        start = function.start()
        corrected = kind(spaces, solvers).run(function, start)
        end = function.at(start.theta + corrected.correction)
    return spaces, start, corrected, end, function


class Counting(napts.Batch):
    """Counts its evaluations and the gradients that reach the parameters."""

    def __init__(self, model: nn.Module) -> None:
        inner = problem_of(model)
        super().__init__(inner._loss, inner._samples)
        self.function_key, self.calls = "the same", 0

    def __call__(self) -> Tensor:
        self.calls += 1
        return super().__call__()
