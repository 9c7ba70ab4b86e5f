"""A differential equation: the residual of Poisson's equation in one dimension."""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from napts.problems.models import fcnn
from napts.problems.numbers import Samples, Width
from napts.problems.problem import Problem, ProblemOptions
from napts.problems.registry import register_problem
from napts.problems.samples import SampleSet

FREQUENCIES = (1, 4)


@register_problem("poisson-pinn")
class PoissonPinn(Problem):
    """`poisson-pinn`: ``-u'' = f`` on (0, 1), ``u(0) = u(1) = 0``, with ``u = x (1 - x) N(x)``.

    ``f`` is such that ``u(x) = sin(pi x) + sin(4 pi x) / 4`` solves the problem. The loss is the
    mean square of the residual at the collocation points, all of them in every step, divided by
    that of ``f``, so that it is about 1 for ``u = 0``. ``relative_error`` is that of the solution,
    in the 2-norm.
    """

    batch_size, subdomains = "full", 3
    primary = ("relative_error", "min")
    needs_grad = True

    class Options(ProblemOptions):
        """Options of `poisson-pinn`.

        Attributes:
            points: Number of collocation points, equally spaced; evaluation uses others between
                them.
            hidden: Units of each of the two hidden layers.
        """

        points: Samples = 128
        hidden: Width = 32

    def network(self) -> nn.Module:
        """Return the network; it uses ``tanh``, since the residual takes its second derivative."""
        hidden = self.options.hidden
        return fcnn((1, hidden, hidden, 1), activation=nn.Tanh)

    def data(self, root: Path | None = None) -> Any:
        """Return points ``(n, 1)`` for training, validation and testing, no two the same."""
        n = self.options.points
        cells = torch.arange(n, dtype=torch.float64).unsqueeze(1)
        return tuple((cells + shift) / n for shift in (0.5, 0.25, 0.75))

    def loss(self, model: nn.Module, batch: Tensor) -> Tensor:
        """Return the mean square of the residual over that of ``f``."""
        points = batch.detach().requires_grad_()
        (slope,) = torch.autograd.grad(solution(model, points).sum(), points, create_graph=True)
        (curvature,) = torch.autograd.grad(slope.sum(), points, create_graph=True)
        size = sum((math.pi * k) ** 4 / k**2 for k in FREQUENCIES) / 2  # of f, over (0, 1)
        return (curvature + source(batch)).square().mean() / size

    def metrics(self, model: nn.Module, samples: SampleSet) -> dict[str, Any]:
        """Return the relative error of the solution."""
        points = samples.all()
        error = solution(model, points) - exact(points)
        return {"relative_error": error.norm() / exact(points).norm()}


def solution(model: nn.Module, points: Tensor) -> Tensor:
    """Return ``u`` at points ``(n, 1)``; it vanishes at the ends, whatever the network."""
    return points * (1 - points) * model(points)


def exact(points: Tensor) -> Tensor:
    """Return the solution at points ``(n, 1)``."""
    return _waves(points, lambda k: 1 / k)


def source(points: Tensor) -> Tensor:
    """Return ``f = -u''`` of the exact solution at points ``(n, 1)``."""
    return _waves(points, lambda k: (math.pi * k) ** 2 / k)


def _waves(points: Tensor, amplitude: Any) -> Tensor:
    waves = [amplitude(k) * torch.sin(math.pi * k * points) for k in FREQUENCIES]
    return torch.stack(waves).sum(0)
