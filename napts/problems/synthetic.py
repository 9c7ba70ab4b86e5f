"""Small problems made from a seed, for tests: no files, no further libraries."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from napts.problems.holdout import SplitOptions, held_out
from napts.problems.models import fcnn, regularised_fcnn
from napts.problems.numbers import DataSeed, Samples, Scale
from napts.problems.registry import register_problem
from napts.problems.supervised import Classification
from napts.problems.tensors import RawData, RawSet

FEATURES = 8
CLASSES = 4
_HIDDEN = 16
# 300 samples in batches of 64 leave a last batch of 44, so every test meets a ragged one.
_TRAIN_SAMPLES = 300
_BATCH_SIZE = 64


class SyntheticOptions(SplitOptions):
    """Options of the synthetic problems.

    Attributes:
        train_samples: Training samples to make, or None for 300.
        validation_size: Validation samples to make.
        test_size: Test samples to make.
        data_seed: Seed of the samples, independent of the seed of a run.
        noise: Standard deviation within a class; the centres are standard normal.
    """

    validation_size: Samples = 80
    test_size: Samples = 80
    data_seed: DataSeed = 0
    noise: Scale = 0.7


@register_problem("synthetic-blobs")
class SyntheticBlobs(Classification):
    """`synthetic-blobs`: Gaussian clusters and a four-layer perceptron."""

    batch_size, subdomains = _BATCH_SIZE, 4
    Options = SyntheticOptions

    def network(self) -> nn.Module:
        """Return the network."""
        return fcnn((FEATURES, _HIDDEN, _HIDDEN, _HIDDEN, CLASSES))

    def data(self, root: Path | None = None) -> Any:
        """Make the samples."""
        return held_out(blobs(self.options), self.options)


@register_problem("synthetic-batchnorm")
class SyntheticBatchnorm(SyntheticBlobs):
    """`synthetic-batchnorm`: the same data, a network with BatchNorm and dropout."""

    def network(self) -> nn.Module:
        """Return the network."""
        return regularised_fcnn(FEATURES, _HIDDEN, CLASSES)


def blobs(options: SyntheticOptions) -> RawData:
    """Return Gaussian clusters: inputs ``(n, 8)`` float32, targets in 0..3.

    Args:
        options: Sizes, seed and noise.
    """
    generator = torch.Generator().manual_seed(options.data_seed)
    centres = torch.randn(CLASSES, FEATURES, generator=generator)

    def sample(n: int) -> RawSet:
        targets = torch.randint(CLASSES, (n,), generator=generator)
        noise = torch.randn(n, FEATURES, generator=generator)
        return RawSet(centres[targets] + options.noise * noise, targets)

    train_samples = options.train_samples or _TRAIN_SAMPLES
    return RawData(sample(train_samples + options.validation_size), sample(options.test_size))
