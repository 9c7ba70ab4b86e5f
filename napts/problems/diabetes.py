"""Regression that needs no download: scikit-learn's diabetes set."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from napts.extras import need
from napts.problems.holdout import SplitOptions, fixed_permutation, split
from napts.problems.models import fcnn
from napts.problems.numbers import Samples, Width
from napts.problems.registry import register_problem
from napts.problems.supervised import Regression
from napts.problems.tensors import RawSet

FEATURES = 10
TEST_SIZE = 89


@register_problem("diabetes-mlp")
class DiabetesMlp(Regression):
    """`diabetes-mlp`: progression of diabetes from ten measurements, a perceptron of three layers.

    442 patients: 264 for training, 89 for validation, 89 for testing (our choice). Inputs and
    targets are standardised by the mean and deviation of the training samples, so that ``rmse`` is
    in units of the targets' deviation.
    """

    dataset = "diabetes"
    batch_size, subdomains = 32, 3

    class Options(SplitOptions):
        """Options of `diabetes-mlp`.

        Attributes:
            hidden: Units of each of the two hidden layers.
        """

        validation_size: Samples = 89
        hidden: Width = 32

    def network(self) -> nn.Module:
        """Return the network."""
        hidden = self.options.hidden
        return fcnn((FEATURES, hidden, hidden, 1))

    def data(self, root: Path | None = None) -> Any:
        """Return inputs ``(n, 10)`` and targets ``(n, 1)``."""
        need("sklearn")
        from sklearn.datasets import load_diabetes  # training elsewhere must not need it

        inputs, targets = load_diabetes(return_X_y=True, scaled=False)
        samples = RawSet(torch.as_tensor(inputs), torch.as_tensor(targets).unsqueeze(1))
        return standardised(samples, TEST_SIZE, self.options, targets=True)


def standardised(
    samples: RawSet, test_size: int, options: SplitOptions, *, targets: bool
) -> list[tuple[Tensor, Tensor]]:
    """Return training, validation and test samples, standardised by the training samples.

    Args:
        samples: All samples, in floating point.
        test_size: Samples for testing, the first in the fixed order.
        options: How many samples to train on and to hold out.
        targets: Whether to standardise the targets as well as the inputs.
    """
    order = fixed_permutation(len(samples))
    rest = samples.take(order[test_size:])
    train, validation = split(rest, options.validation_size, options.train_samples)
    parts = (train, validation, samples.take(order[:test_size]))
    inputs = _scaled(train.inputs, [part.inputs for part in parts])
    outputs = [part.targets for part in parts]
    if targets:
        outputs = _scaled(train.targets, outputs)
    return list(zip(inputs, outputs, strict=True))


def _scaled(reference: Tensor, parts: list[Tensor]) -> list[Tensor]:
    mean, deviation = reference.mean(0), reference.std(0)
    deviation = torch.where(deviation > 0, deviation, torch.ones_like(deviation))
    return [(part - mean) / deviation for part in parts]
