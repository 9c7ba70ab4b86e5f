"""Random numbers of data and networks, kept apart from those of the training."""

import hashlib
import random
from typing import Any, Self

import numpy
import torch


def seed_of(purpose: str, *numbers: int) -> int:
    """Return a seed in [0, 2**32) for one purpose, seed of a run, epoch, and so on.

    Args:
        purpose: What the random numbers are for.
        numbers: What else they depend on.
    """
    # A hash, because seed + epoch would give seed 0's second epoch to seed 1 as its first.
    key = hashlib.sha256(" ".join([purpose, *map(str, numbers)]).encode()).digest()
    return int.from_bytes(key[:4], "big")


class OwnRandom:
    """Random numbers of torch, NumPy and Python that continue from block to block, without a trace.

    Inside a ``with`` block the global generators of the CPU, and that of one GPU, have a state of
    their own, seeded at the first block; afterwards they are as they were before.

    Args:
        seed: Seed of the first block, in [0, 2**32).
        device: A CUDA device whose generator is kept apart too, or any other device.
    """

    def __init__(self, seed: int, device: torch.device | str = "cpu") -> None:
        self._seed = seed
        self._device = torch.device(device)
        self._own: list[Any] | None = None
        self._outer: list[Any] = []

    def __enter__(self) -> Self:
        self._outer = self._states()
        if self._own is None:
            # torch.manual_seed would also reseed the GPUs that nobody puts back.
            torch.default_generator.manual_seed(self._seed)
            numpy.random.seed(self._seed)
            random.seed(self._seed)
            if self._device.type == "cuda":
                with torch.cuda.device(self._device):
                    torch.cuda.manual_seed(self._seed)
        else:
            self._restore(self._own)
        return self

    def __exit__(self, *_: object) -> None:
        self._own = self._states()
        self._restore(self._outer)

    def _states(self) -> list[Any]:
        states = [torch.get_rng_state(), numpy.random.get_state(), random.getstate()]
        if self._device.type == "cuda":
            states.append(torch.cuda.get_rng_state(self._device))
        return states

    def _restore(self, states: list[Any]) -> None:
        torch.set_rng_state(states[0])
        numpy.random.set_state(states[1])
        random.setstate(states[2])
        if self._device.type == "cuda":
            torch.cuda.set_rng_state(states[3], self._device)
