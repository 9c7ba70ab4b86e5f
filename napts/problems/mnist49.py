"""Fours and nines of MNIST as a table with many features: a stand-in for the set Gisette.

Gisette (5,000 features of 6,000 images of these two digits: pixels, products of pixels and probes
without information) was made for a competition, in a way that is known only roughly. The table made
here resembles it in size and kind (our choice); numbers on it are not numbers on Gisette.
"""

from pathlib import Path

import numpy
import torch
from torch import Tensor

from napts.problems.data_root import DataInvalid
from napts.problems.scaling import scaled
from napts.problems.torchvision_data import MNIST

OF_EACH = 3000
"""Number of images of each of the two digits, the first ones in MNIST's training set."""

_ROWS, _COLUMNS = slice(3, 18), slice(5, 24)
_SMALLEST_DEVIATION = 0.02
_PIXELS, _PRODUCTS, _PROBES = 250, 2250, 2500


def mnist49(root: Path | None) -> tuple[Tensor, Tensor]:
    """Return the table, the same in every run, and labels.

    The features are 250 pixels of the upper middle of the images, 2,250 products of two random
    pixels, and 2,500 probes: real features whose rows are in random order. Each is scaled to
    [-1, 1].

    Args:
        root: Folder of data sets that the user chose, or None.

    Returns:
        Inputs ``(6000, 5000)`` in double precision, 240 MB, and labels: -1 for a four, +1 for a
        nine.

    Raises:
        DataMissing: MNIST is not there.
    """
    images = MNIST.read(root).train
    which = torch.cat([_first_of(images.targets, digit) for digit in (4, 9)])
    labels = torch.where(images.targets[which] == 9, 1.0, -1.0).double()
    pixels = images.inputs[which, 0, _ROWS, _COLUMNS].reshape(len(which), -1).double() / 255.0
    pixels = pixels[:, pixels.std(0, correction=0) > _SMALLEST_DEVIATION]
    return _features(pixels), labels


def _features(pixels: Tensor) -> Tensor:
    rng = numpy.random.default_rng(0)
    rows = pixels.t().contiguous()  # a row for each feature: these are taken and shuffled
    kept = rows[torch.from_numpy(rng.permutation(len(rows))[:_PIXELS])]
    first, second = (torch.from_numpy(rng.integers(0, len(rows), _PRODUCTS)) for _ in range(2))
    real = torch.cat([kept, rows[first] * rows[second]])
    copied = rng.integers(0, len(real), _PROBES)
    probes = [real[j, torch.from_numpy(rng.permutation(len(pixels)))] for j in copied]
    table = torch.cat([real, torch.stack(probes)])
    return scaled(table[torch.from_numpy(rng.permutation(len(table)))].t(), "minmax").contiguous()


def _first_of(targets: Tensor, digit: int) -> Tensor:
    found = (targets == digit).nonzero().squeeze(1)[:OF_EACH]
    if len(found) < OF_EACH:
        raise DataInvalid(f"MNIST: found {len(found)} images of {digit}, allowed: {OF_EACH}")
    return found
