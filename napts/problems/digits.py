"""The problem that needs no download: scikit-learn's handwritten digits."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from napts.extras import need
from napts.problems.holdout import SplitOptions, fixed_permutation, held_out
from napts.problems.models import cnn
from napts.problems.numbers import Samples
from napts.problems.registry import register_problem
from napts.problems.supervised import Classification
from napts.problems.tensors import Normalisation, RawData, RawSet

DATASET = "digits"
TEST_SIZE = 297
# Pixels are 0..16. Mean and standard deviation over all 1797 images, rounded.
NORMALISATION = Normalisation((0.305,), (0.376,), scale=16.0)


@register_problem("digits-cnn")
class DigitsCnn(Classification):
    """`digits-cnn`: 1797 images of 8x8 pixels and a small convolutional network.

    1200 images for training, 300 for validation, 297 for testing; this is our choice, since the
    data set comes without a split.
    """

    dataset = DATASET
    batch_size, subdomains = 200, 4

    class Options(SplitOptions):
        """Options of `digits-cnn`."""

        validation_size: Samples = 300

    def network(self) -> nn.Module:
        """Return the network."""
        return cnn((1, 16, 32), image_size=8, hidden=32)

    def data(self, root: Path | None = None) -> Any:
        """Return the images; no folder is needed."""
        return held_out(read_digits(), self.options, NORMALISATION)


def read_digits(_root: Path | None = None) -> RawData:
    """Return the digits that scikit-learn ships: uint8 ``(n, 1, 8, 8)`` with values 0..16."""
    need("sklearn")
    from sklearn.datasets import load_digits  # here, because training elsewhere must not need it

    images, targets = load_digits(return_X_y=True)
    inputs = torch.as_tensor(images, dtype=torch.uint8).view(-1, 1, 8, 8)
    samples = RawSet(inputs, torch.as_tensor(targets, dtype=torch.int64))
    order = fixed_permutation(len(samples))
    return RawData(samples.take(order[TEST_SIZE:]), samples.take(order[:TEST_SIZE]))
