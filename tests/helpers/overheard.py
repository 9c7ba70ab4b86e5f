"""How far local gradients at the captured iterate are from the global gradient's blocks."""

from collections.abc import Callable
from typing import Any
from unittest import mock

from torch import Tensor

import napts
from napts.optim.cadam import CAdam

# Steps so short are lost in rounding: weights stay as they are.
RADIUS = 1e-30


def gaps(stages: Any, closure: Callable[[], Tensor], **options: Any) -> list[float]:
    """Return the relative error of each subdomain's local gradient at the captured iterate.

    Measured from outside: one iteration of NAPTS whose radius is next to nothing, with an ear at
    the local solver. It hears the global gradient's blocks first, and then, one after the other,
    what the subdomains compute for their second step, at weights that have not moved.

    Args:
        stages: The subdomains of a model.
        closure: Its loss.
        options: Further options of the method.

    Returns:
        For each subdomain ``|local - global| / |global|``, where blocks whose gradient is next to
        nothing beside the whole are measured against the whole.
    """
    heard: list[Tensor] = []
    direction = CAdam.direction

    def listen(self: CAdam, moments: Any, gradient: Tensor, out: Tensor) -> None:
        heard.append(gradient.clone())
        direction(self, moments, gradient, out)

    tiny = {"radius": RADIUS, "radius_min": RADIUS / 2, "radius_max": 2 * RADIUS}
    optimizer = napts.NAPTS(stages, local_steps=2, correction=(), **tiny, **options)
    with mock.patch.object(CAdam, "direction", listen):
        optimizer.step(closure)
    count = len(heard) // 2
    assert count > 0
    assert len(heard) == 2 * count
    floor = 1e-6 * max(float(g.norm()) for g in heard[:count]) + 1e-300
    return [
        float((local - whole).norm()) / max(float(whole.norm()), floor)
        for whole, local in zip(heard[:count], heard[count:], strict=True)
    ]
