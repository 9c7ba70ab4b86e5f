"""What steps of Adam keep of their promises, on their own batch and on the next one.

    python reports/step_statistics.py cifar10-mini --batch 200 --epochs 12 --rate 0.00464

Prints, for each half of the training, sums over every third step as shares of what the gradients
promised: the reduction of the step's own batch, that of the next batch, and what the next gradient
at the start of the step would have promised (trapezoid rule); and the validation metric at the last
iterate and at the average at which TTR is evaluated.
"""

import argparse
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from napts.optim.iterate_average import weight
from napts.problems import EpochOrder, get_problem

NAMES = ("promise", "own", "next", "real")


def batches(problem: Any, samples: Any, args: argparse.Namespace) -> Iterator[Any]:
    """Yield the batches of all epochs."""
    for epoch in range(args.epochs):
        order = EpochOrder(args.batch, args.seed, epoch, 0, 0.0)
        yield from problem.training_batches(samples, order)


def flat(model: nn.Module) -> Tensor:
    """Return a copy of the parameters as a vector."""
    return parameters_to_vector(model.parameters()).detach().clone()


def gradient(model: nn.Module) -> Tensor:
    """Return the gradients as a vector."""
    return torch.cat([p.grad.reshape(-1) for p in model.parameters() if p.grad is not None])


@torch.no_grad()
def loss_at(problem: Any, model: nn.Module, theta: Tensor, batch: Any) -> float:
    """Return the loss of a batch at other parameters, and come back."""
    here = flat(model)
    vector_to_parameters(theta, model.parameters())
    loss = float(problem.loss(model, batch))
    vector_to_parameters(here, model.parameters())
    return loss


def measure(args: argparse.Namespace) -> None:
    """Train once, and print."""
    problem = get_problem(args.workload, {"train_samples": args.samples} if args.samples else {})
    data, model = problem.load(), problem.build_model(args.seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.rate)
    steps = args.epochs * math.ceil(len(data.train) / args.batch)
    sums = [dict.fromkeys(NAMES, 0.0) for _ in range(2)]
    average, last = flat(model), None
    for step, batch in enumerate(batches(problem, data.train, args), 1):
        optimizer.zero_grad()
        loss = problem.loss(model, batch)
        loss.backward()
        before, slope = flat(model), gradient(model)
        if last is not None:
            start, moved, promise, own = last
            gained = loss_at(problem, model, start, batch) - loss.item()
            real = 2 * gained + float(slope @ moved)
            half = sums[int(2 * (step - 1) > steps)]
            for name, value in zip(NAMES, (promise, own, gained, real), strict=True):
                half[name] += value
        optimizer.step()
        after = flat(model)
        average.lerp_(after, weight(step, 8.0))
        last = None
        if step % 3 == 0:
            own = loss.item() - loss_at(problem, model, after, batch)
            last = before, after - before, -float(slope @ (after - before)), own
    for name, half in zip(("first half", "second half"), sums, strict=True):
        shares = [f"{key} {half[key] / half['promise']:.3f}" for key in NAMES[1:]]
        print(f"{args.workload} rate {args.rate:g} {name}: {', '.join(shares)}")
    metric = problem.primary[0]
    ends = [problem.evaluate(model, data.validation)[metric]]
    vector_to_parameters(average, model.parameters())
    ends.append(problem.evaluate(model, data.validation)[metric])
    print(f"{args.workload} rate {args.rate:g} {metric}: last {ends[0]:.4f}, average {ends[1]:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Shares of promises that steps of Adam keep.")
    parser.add_argument("workload")
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--samples", type=int)
    parser.add_argument("--seed", type=int, default=0)
    torch.set_num_threads(1)
    measure(parser.parse_args())
