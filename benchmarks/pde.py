"""What loss and gradient of a differential equation cost, in forward passes of the network.

    python -m benchmarks.pde [--problem burgers] [--points 600 2500] [--layers 8] [--repeats 10]

Four ways to the derivatives in the residual of Burgers' equation: nested reverse mode, which the
problems use, the same compiled (`compile = true`), forward mode by `torch.func.jvp`, and value and
derivatives carried through the layers by hand; they take turns. For other problems the first two.
What compiling takes, with nothing in torch's caches, is said apart.
"""

import argparse
import math
import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.compiler.config
from torch import Tensor, nn

from benchmarks.timing import seconds

jvp: Any = torch.func.jvp

Way = Callable[[Any, nn.Module, Tensor], Tensor]


def nested(problem: Any, model: nn.Module, points: Tensor) -> Tensor:
    """Return the residual as the problems compute it."""
    return problem.residual_of(problem.solution(model), points)


def forward_mode(problem: Any, model: nn.Module, points: Tensor) -> Tensor:
    """Return Burgers' residual by two nested Jacobian-vector products."""
    function = problem.solution(model)
    along_t, along_x = (torch.eye(2, dtype=points.dtype)[i].expand_as(points) for i in (0, 1))
    _, u_t = jvp(function, (points,), (along_t,))

    def in_x(at: Tensor) -> Any:
        return jvp(function, (at,), (along_x,))

    (u, u_x), (_, u_xx) = jvp(in_x, (points,), (along_x,))
    return u_t + u * u_x - 0.01 / math.pi * u_xx


def by_hand(problem: Any, model: nn.Module, points: Tensor) -> Tensor:
    """Return Burgers' residual from value, t-, x- and xx-derivatives, layer by layer."""
    from napts.problems.pde.networks import SLOPE_FACTOR, SlopeLayer

    assert isinstance(model, nn.Sequential)
    t, x = points.split(1, 1)
    one, zero = torch.ones_like(t), torch.zeros_like(t)
    jet = torch.stack([points, torch.cat([one, zero], 1), torch.cat([zero, one], 1), 0 * points])
    for layer in model:
        if isinstance(layer, SlopeLayer):
            inner = SLOPE_FACTOR * layer.slope * _affine(layer, jet)
            jet = jet + layer.step * _tanh(inner)
        else:
            jet = _affine(layer, jet) if isinstance(layer, nn.Linear) else _tanh(jet)
    n, n_t, n_x, n_xx = jet
    factor, wave = (1 - x * x) * t, math.pi * x
    u = -torch.sin(wave) + factor * n
    u_t = (1 - x * x) * n + factor * n_t
    u_x = -math.pi * torch.cos(wave) - 2 * x * t * n + factor * n_x
    u_xx = math.pi**2 * torch.sin(wave) - 2 * t * n - 4 * x * t * n_x + factor * n_xx
    return u_t + u * u_x - 0.01 / math.pi * u_xx


def _affine(layer: nn.Linear, jet: Tensor) -> Tensor:
    found = jet @ layer.weight.T
    return torch.cat([found[:1] + layer.bias, found[1:]])


def _tanh(jet: Tensor) -> Tensor:
    value = torch.tanh(jet[0])
    slope = 1 - value * value
    second = slope * jet[3] - 2 * value * slope * jet[2] ** 2
    return torch.stack([value, slope * jet[1], slope * jet[2], second])


def main(name: str, counts: list[int], layers: int | None, repeats: int) -> None:
    """Print the costs."""
    from napts.problems import get_problem

    torch.compiler.config.force_disable_caches = True
    size = {} if layers is None else {"hidden_layers": layers}
    ways: dict[str, Way] = {"nested autograd": nested}
    if name == "burgers":
        ways |= {"torch.func.jvp": forward_mode, "by hand": by_hand}
    print(f"{name}, torch {torch.__version__}, {torch.get_num_threads()} threads, n = {repeats}")
    for count in counts:
        problem: Any = get_problem(name, {"points": count, **size})
        compiled: Any = get_problem(name, {"points": count, "compile": True, **size})
        model: Any = problem.build_model(0).double()
        (points,) = problem.data()[0]
        actions = {
            title: _loss_and_gradient(problem, model, points, w) for title, w in ways.items()
        }
        actions["compiled"] = _gradient(partial(compiled.loss, model, (points,)), model)
        first = seconds(actions["compiled"])
        forward_pass = torch.no_grad()(partial(model, points))
        times = _medians({"forward": forward_pass, **actions}, repeats)
        forward = times.pop("forward")
        print(f"  {count} points: forward {1e3 * forward:.2f} ms, compiling {first:.0f} s")
        for title, found in times.items():
            print(f"    {title:16} {1e3 * found:8.1f} ms = {found / forward:5.1f} forwards")


def _loss_and_gradient(
    problem: Any, model: nn.Module, points: Tensor, way: Way
) -> Callable[[], object]:
    return _gradient(lambda: way(problem, model, points).square().mean(), model)


def _gradient(loss: Callable[[], Tensor], model: nn.Module) -> Callable[[], object]:
    parameters = list(model.parameters())
    return lambda: torch.autograd.grad(loss(), parameters)


def _medians(actions: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return median times of actions that take turns, so that load meets all of them alike."""
    times: dict[str, list[float]] = {title: [] for title in actions}
    for _ in range(repeats + 1):
        for title, action in actions.items():
            times[title].append(seconds(action))
    return {title: statistics.median(found[1:]) for title, found in times.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problem", default="burgers")
    parser.add_argument("--points", type=int, nargs="+", default=[600, 2500])
    parser.add_argument("--layers", type=int)
    parser.add_argument("--repeats", type=int, default=10)
    given = parser.parse_args()
    main(given.problem, given.points, given.layers, given.repeats)
