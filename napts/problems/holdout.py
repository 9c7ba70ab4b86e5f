"""The fixed split of a source's training set, used by the package's own data sets."""

import torch

from napts.problems.memory import TensorSamples
from napts.problems.numbers import Samples
from napts.problems.problem import ProblemOptions
from napts.problems.tensors import Normalisation, RawData, RawSet

# Any constant serves; it must never change, or records stop being comparable.
_SPLIT_SEED = 20260101


def fixed_permutation(n: int) -> torch.Tensor:
    """Return the one permutation of ``n`` samples that every split uses, ``(n,)`` int64."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(_SPLIT_SEED))


def split(
    samples: RawSet, validation_size: int, train_samples: int | None = None
) -> tuple[RawSet, RawSet]:
    """Split a source's training set, the same way in every run.

    The validation samples come first in the fixed permutation, so that the number of training
    samples does not change which ones are held out, and a smaller training set is part of a larger
    one.

    Args:
        samples: The whole training set.
        validation_size: Samples to hold out, at least 1.
        train_samples: Samples to train on, or None for all the others.

    Returns:
        Training and validation samples, disjoint.

    Raises:
        ValueError: If there are fewer samples than asked for.
    """
    available = len(samples) - validation_size
    if available < 1:
        raise ValueError(
            f"validation_size: found {validation_size}, allowed: 1 to {len(samples) - 1} "
            f"(the training set has {len(samples)} samples)"
        )
    wanted = available if train_samples is None else train_samples
    if not 1 <= wanted <= available:
        raise ValueError(
            f"train_samples: found {wanted}, allowed: 1 to {available} "
            f"({len(samples)} samples less {validation_size} for validation)"
        )
    order = fixed_permutation(len(samples))
    validation, train = order[:validation_size], order[validation_size:]
    return samples.take(train[:wanted]), samples.take(validation)


class SplitOptions(ProblemOptions):
    """Options of the problems whose validation samples are held out here.

    Attributes:
        train_samples: Number of training samples to use, or None for all that are not held out.
        validation_size: Samples of the source's training set that are held out.
    """

    train_samples: Samples | None = None
    validation_size: Samples


def held_out(
    raw: RawData, options: SplitOptions, normalisation: Normalisation | None = None
) -> tuple[TensorSamples, TensorSamples, TensorSamples]:
    """Return training, validation and test samples of a source.

    Args:
        raw: What the source delivers.
        options: How many samples to train on and to hold out.
        normalisation: Constants for the inputs, or None.

    Raises:
        ValueError: If the options ask for more samples than there are.
    """
    train, validation = split(raw.train, options.validation_size, options.train_samples)
    first, second, third = (
        TensorSamples((part.inputs, part.targets), normalisation)
        for part in (train, validation, raw.test)
    )
    return first, second, third
