"""The workload that needs no download: scikit-learn's handwritten digits."""

from pathlib import Path

import torch
from pydantic import PositiveInt

from napts.extras import need
from napts.problems.models import cnn
from napts.problems.problem import Workload, WorkloadOptions
from napts.problems.splits import fixed_permutation
from napts.problems.tensors import Normalisation, RawData, RawSet

DATASET = "digits"
TEST_SIZE = 297
# Pixels are 0..16. Mean and standard deviation over all 1797 images, rounded.
NORMALISATION = Normalisation((0.305,), (0.376,), scale=16.0)


class DigitsOptions(WorkloadOptions):
    """Options of `digits-cnn`."""

    validation_size: PositiveInt = 300


def digits_cnn(options: DigitsOptions) -> Workload:
    """Return `digits-cnn`: 1797 images of 8x8 pixels and a small convolutional network.

    1200 images for training, 300 for validation, 297 for testing: our choice, the data set comes
    without a split.
    """
    return Workload(
        name="digits-cnn",
        dataset=DATASET,
        options=options,
        batch_size=200,
        subdomains=4,
        network=lambda: cnn((1, 16, 32), image_size=8, hidden=32),
        source=read_digits,
        normalisation=NORMALISATION,
    )


def read_digits(_root: Path | None = None) -> RawData:
    """Return the digits that scikit-learn carries: uint8 ``(n, 1, 8, 8)`` with values 0..16."""
    need("sklearn")
    from sklearn.datasets import load_digits  # here, because training elsewhere must not need it

    images, targets = load_digits(return_X_y=True)
    inputs = torch.as_tensor(images, dtype=torch.uint8).view(-1, 1, 8, 8)
    samples = RawSet(inputs, torch.as_tensor(targets, dtype=torch.int64))
    order = fixed_permutation(len(samples))
    return RawData(samples.take(order[TEST_SIZE:]), samples.take(order[:TEST_SIZE]))
