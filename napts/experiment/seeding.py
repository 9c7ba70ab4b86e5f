"""Random state: where it comes from, and how it survives an interruption."""

import random
from typing import Any

import numpy
import torch


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and torch's global generators, including those of CUDA.

    Args:
        seed: Seed of the run, in [0, 2**32).
    """
    random.seed(seed)
    numpy.random.seed(seed)
    torch.manual_seed(seed)


def random_state() -> dict[str, Any]:
    """Return the state of all global generators as tensors and plain numbers."""
    name, keys, position, has_gauss, gauss = numpy.random.get_state(legacy=True)
    version, words, pending = random.getstate()
    return {
        "python": [version, list(words), pending],
        "numpy": [
            str(name),
            torch.from_numpy(numpy.asarray(keys, dtype=numpy.int64)),
            int(position),
            int(has_gauss),
            float(gauss),
        ],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_random_state(state: dict[str, Any]) -> None:
    """Restore what `random_state` returned.

    Args:
        state: The state; CUDA states are used as far as there are devices.
    """
    version, words, pending = state["python"]
    random.setstate((version, tuple(words), pending))
    name, keys, position, has_gauss, gauss = state["numpy"]
    numpy.random.set_state((name, keys.numpy().astype(numpy.uint32), position, has_gauss, gauss))
    torch.set_rng_state(state["torch"])
    devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for index, device_state in enumerate(state["cuda"][:devices]):
        torch.cuda.set_rng_state(device_state, index)
