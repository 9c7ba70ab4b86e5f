"""Residual networks as forward Euler: a function, digits, MNIST and small colour images.

The networks have stages of alike blocks, so that :class:`napts.RMTR` can make them shallower; every
other method trains them like any network. Widths, the number of blocks and the interval's length
follow the command line of the slides' authors where it gives them (width 32, ``T = 1``, a penalty
of 1e-3, and the depths 3, 6, 12 and 24 of four levels are ours).
"""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from napts.decomposition import ResidualStage, residual_network, squares_in_time
from napts.decomposition.residual import Grid
from napts.optim import Batch
from napts.optim.replicas import ONE_REPLICA, Replicas
from napts.problems.digits import DigitsCnn
from napts.problems.holdout import SplitOptions, held_out
from napts.problems.images import MNIST_NORMALISATION, Cifar10Mini, ImageClassification
from napts.problems.numbers import DataSeed, Layers, Samples, Scale, Width
from napts.problems.problem import Problem
from napts.problems.registry import register_problem
from napts.problems.supervised import Regression
from napts.problems.tensors import RawData, RawSet, digest
from napts.problems.torchvision_data import MNIST

COORDINATES = 2


class ResidualOptions(SplitOptions):
    """Options of problems with residual networks.

    Attributes:
        blocks: Residual blocks; RMTR halves their number from level to level.
        width: Units of a state.
        grid: ``"cells"``: steps of ``1 / blocks``; ``"nodes"``: of ``1 / (blocks - 1)``.
        penalty: Factor on half the squares of all parameters, those of blocks averaged over them.
    """

    blocks: Layers = 24
    width: Width = 32
    grid: Grid = "cells"
    penalty: Scale = 1e-3


class PenalisedInTime(Problem):
    """A problem whose loss has a penalty that is the same for networks of all depths."""

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        """Return the mean loss over the samples of a batch, with the penalty."""
        loss = super().loss(model, batch)  # pyright: ignore[reportAbstractUsage]
        penalty = self.options.penalty
        return loss + 0.5 * penalty * squares_in_time(model) if penalty else loss

    def batch(self, model: nn.Module, samples: Any, replicas: Replicas = ONE_REPLICA) -> Batch:
        """Return what a step takes; it promises that the loss is the same for the same samples."""
        batch = super().batch(model, samples, replicas)
        batch.function_key = digest(samples)
        return batch


def dense(inputs: int, outputs: int, options: ResidualOptions) -> nn.Sequential:
    """Return a dense residual network with ``tanh``.

    Args:
        inputs: How many numbers a sample has, whatever its shape.
        outputs: How many numbers the network returns.
        options: Depth and width.
    """
    width = options.width
    blocks = [nn.Linear(width, width) for _ in range(options.blocks)]
    first, last = nn.Linear(inputs, width), nn.Linear(width, outputs)
    return nn.Sequential(nn.Flatten(), *residual_network(first, blocks, last, grid=options.grid))


@register_problem("sine-resnet")
class SineResnet(PenalisedInTime, Regression):
    """`sine-resnet`: ``sin(pi x_1) + x_1 sin(pi x_2)`` on ``[-1, 1]^2``, width 10 (ours).

    All samples in every step; no noise.
    """

    batch_size, subdomains = "full", 2

    class Options(ResidualOptions):
        """Options of `sine-resnet`.

        Attributes:
            data_seed: Seed of the points.
        """

        width: Width = 10
        train_samples: Samples | None = 1000
        validation_size: Samples = 500
        data_seed: DataSeed = 0

    def network(self) -> nn.Module:
        """Return the network."""
        return dense(COORDINATES, 1, self.options)

    def data(self, root: Path | None = None) -> Any:
        """Make the samples: points ``(n, 2)`` and values ``(n, 1)``."""
        options = self.options
        generator = torch.Generator().manual_seed(options.data_seed)
        held = options.validation_size
        train = _points((options.train_samples or 1000) + held, generator)
        return held_out(RawData(train, _points(held, generator)), options)


def _points(count: int, generator: torch.Generator) -> RawSet:
    points = 2.0 * torch.rand(count, COORDINATES, generator=generator, dtype=torch.float64) - 1.0
    first, second = points.split(1, 1)
    return RawSet(points, (math.pi * first).sin() + first * (math.pi * second).sin())


@register_problem("digits-resnet")
class DigitsResnet(PenalisedInTime, DigitsCnn):
    """`digits-resnet`: the digits of `digits-cnn`, all in every step; a dense residual network."""

    batch_size, subdomains = "full", 2

    class Options(ResidualOptions, DigitsCnn.Options):
        """Options of `digits-resnet`."""

        validation_size: Samples = 300

    def network(self) -> nn.Module:
        """Return the network."""
        return dense(64, 10, self.options)


@register_problem("mnist-resnet")
class MnistResnet(PenalisedInTime, ImageClassification):
    """`mnist-resnet`: MNIST, a dense residual network, batches of 1000."""

    source, normalisation = MNIST, MNIST_NORMALISATION
    batch_size, subdomains = 1000, 2

    class Options(ResidualOptions, ImageClassification.Options):
        """Options of `mnist-resnet`."""

        validation_size: Samples = 5000

    def network(self) -> nn.Module:
        """Return the network."""
        return dense(784, 10, self.options)


@register_problem("cifar10-mini-resnet")
class Cifar10MiniResnet(PenalisedInTime, Cifar10Mini):
    """`cifar10-mini-resnet`: the images of `cifar10-mini`, a convolutional residual network (ours).

    Two stages of blocks with constant width, of 8x8 and 4x4 pixels; the second has twice the width.
    """

    subdomains = 2

    class Options(ResidualOptions, Cifar10Mini.Options):
        """Options of `cifar10-mini-resnet`.

        Attributes:
            blocks: Residual blocks of each stage.
        """

        blocks: Layers = 8
        width: Width = 16
        train_samples: Samples | None = 10_000
        validation_size: Samples = 2000

    def network(self) -> nn.Module:
        """Return the network."""
        return convolutional(self.options)


def convolutional(options: ResidualOptions, classes: int = 10) -> nn.Sequential:
    """Return a convolutional residual network with ``tanh`` for three channels of 16 x 16 pixels.

    Args:
        options: Depth of each stage, and width of the first.
        classes: Number of outputs.
    """
    width = options.width

    def convolution(channels: int, outputs: int, stride: int = 1) -> nn.Conv2d:
        return nn.Conv2d(channels, outputs, 3, stride=stride, padding=1)

    def stage(channels: int) -> ResidualStage:
        blocks = [convolution(channels, channels) for _ in range(options.blocks)]
        return ResidualStage(blocks, grid=options.grid)

    return nn.Sequential(
        *(convolution(3, width, 2), nn.Tanh(), stage(width)),
        *(convolution(width, 2 * width, 2), nn.Tanh(), stage(2 * width)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * width, classes)),
    )
