"""Random orders of the samples, drawn by a generator whose state can be saved."""

import math
from typing import Any

import torch
from torch import Tensor

_FACTOR = 6364136223846793005
"""Knuth's factor of linear congruences."""


class Sampling:
    """Draws samples.

    Args:
        seed: Seed of its generator; ``None`` for torch's seed when the first sample is drawn, so
            that ``torch.manual_seed`` decides.
    """

    def __init__(self, seed: int | None) -> None:
        self._seed = seed
        self._made: torch.Generator | None = None
        # Where the generator stood before it drew the order that is kept, and that order.
        self._before_kept: Tensor | None = None
        self._kept_count = 0
        self._kept: Tensor | None = None

    @property
    def _generator(self) -> torch.Generator:
        if self._made is None:
            # A stream of its own: networks are initialised from the one of torch's seed.
            seed = torch.initial_seed() * _FACTOR % 2**63 if self._seed is None else self._seed
            self._made = torch.Generator().manual_seed(seed)
        return self._made

    def draw(self, count: int, size: int) -> Tensor:
        """Return the numbers of some of ``count`` samples, in random order."""
        if size == 1:
            return torch.randint(count, (1,), generator=self._generator)
        return torch.randperm(count, generator=self._generator)[:size]

    def integers(self, count: int, size: int) -> Tensor:
        """Return ``size`` independently drawn numbers below ``count``."""
        return torch.randint(count, (size,), generator=self._generator)

    def kept_order(self, count: int) -> Tensor:
        """Return a random order of the samples: always the same until their number changes."""
        if self._kept is None and self._before_kept is not None:
            generator = torch.Generator()
            generator.set_state(self._before_kept)
            self._kept = torch.randperm(self._kept_count, generator=generator)
        if self._kept is None or len(self._kept) != count:
            self._before_kept, self._kept_count = self._generator.get_state(), count
            self._kept = torch.randperm(count, generator=self._generator)
        return self._kept

    def state_dict(self) -> dict[str, Any]:
        """Return the generator's state, now and before it drew the fixed order."""
        state: dict[str, Any] = {"seed": self._seed}
        if self._made is not None:
            state["generator"] = self._made.get_state()
        if self._before_kept is not None:
            state |= {"before_kept": self._before_kept, "kept_count": self._kept_count}
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a saved state."""
        self._seed, self._made = state["seed"], None
        if "generator" in state:
            self._made = torch.Generator()
            self._made.set_state(state["generator"].cpu())
        before, self._kept = state.get("before_kept"), None
        self._before_kept = None if before is None else before.cpu()
        self._kept_count = state.get("kept_count", 0)

    def __getstate__(self) -> dict[str, Any]:
        return self.state_dict()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.load_state_dict(state)


def sample_count(share: float, whole: int) -> int:
    """Return how many samples a share is: rounded up, but not for a rounding error; at least 1."""
    return min(whole, max(1, math.ceil(share * whole * (1.0 - 1e-12))))
