"""Logistic regression with made-up data, for the package and for the flat references."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from napts.optim.sums import LogisticSum
from napts.optim.sums.sampling import Sampling
from tests.reference.sums import Logistic

SAMPLES, FEATURES, PENALTY = 60, 6, 1.0 / 60


def flat(seed: int = 0, samples: int = SAMPLES) -> Logistic:
    """Columns of different sizes, labels with noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(samples, FEATURES)) * np.array([0.3, 1.0, 1.0, 2.0, 3.0, 0.7])
    c = np.sign(x @ rng.normal(size=FEATURES) + 0.8 * rng.normal(size=samples))
    return Logistic(x, c, PENALTY)


def weight() -> nn.Parameter:
    return nn.Parameter(torch.zeros(FEATURES).double())


def sum_of(parameter: Tensor, problem: Logistic) -> LogisticSum:
    inputs, labels = torch.from_numpy(problem.x), torch.from_numpy(problem.c)
    return LogisticSum.of([parameter], inputs, labels, problem.lam)


@contextmanager
def drawn() -> Iterator[list[list[int]]]:
    """Collect the samples that a method draws, in its order."""
    found: list[list[int]] = []
    draw, kept = Sampling.draw, Sampling.kept_order

    def noted(self: Sampling, count: int, size: int) -> Tensor:
        found.append((numbers := draw(self, count, size)).tolist())
        return numbers

    def noted_order(self: Sampling, count: int) -> Tensor:
        found.append((numbers := kept(self, count)).tolist())
        return numbers

    with (
        mock.patch.object(Sampling, "draw", noted),
        mock.patch.object(Sampling, "kept_order", noted_order),
    ):
        yield found
