"""The three sets of a problem, on the device of a run."""

import hashlib
from dataclasses import dataclass
from typing import Any

import torch

from napts.problems.given import as_samples
from napts.problems.memory import TensorSamples
from napts.problems.samples import SampleSet
from napts.problems.tensors import DIGEST_LENGTH, digest

_PARTS = ("training", "validation", "test")
_ALLOWED = "(training, validation, test) samples"


@dataclass(frozen=True, slots=True)
class DataSplits:
    """The three disjoint sets of a problem.

    Attributes:
        train: Samples that the methods see.
        validation: Samples held out from them.
        test: Samples to be used once, when training has ended.
        digest: Short SHA-256 of what is stored (not normalised) in all three sets; begins with
            ``partial-`` if a set is known only by its type and length.
    """

    train: SampleSet
    validation: SampleSet
    test: SampleSet
    digest: str

    @classmethod
    def of(cls, parts: Any, device: torch.device | str, dtype: torch.dtype) -> "DataSplits":
        """Return a problem's data on a device.

        Args:
            parts: Training, validation and test samples in any form that `as_samples` takes.
            device: Where the samples live.
            dtype: Type of floating-point samples.

        Raises:
            ValueError: If there are not three sets of samples, or one is empty.
        """
        if not isinstance(parts, tuple | list):
            raise ValueError(f"found {type(parts).__name__}, allowed: {_ALLOWED}")
        if len(parts) != len(_PARTS):
            raise ValueError(f"found {len(parts)} parts, allowed: {_ALLOWED}")
        sets = [as_samples(part, name) for name, part in zip(_PARTS, parts, strict=True)]
        for name, part in zip(_PARTS, sets, strict=True):
            if not len(part):
                raise ValueError(f"found no {name} samples, allowed: at least 1")
        return cls(*(part.to(device, dtype) for part in sets), digest=_fingerprint(sets))


def _fingerprint(sets: list[SampleSet]) -> str:
    if all(isinstance(part, TensorSamples) for part in sets):
        return digest(t for part in sets if isinstance(part, TensorSamples) for t in part.stored)
    known = [part.fingerprint() for part in sets]
    text = " ".join(found for found, _ in known)
    short = hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]
    return short if all(complete for _, complete in known) else f"partial-{short}"
