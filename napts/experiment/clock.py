"""Where the time goes: every instant belongs to exactly one part of the work."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch

Part = Literal["train", "evaluation", "checkpoint", "logging"]
PARTS: tuple[Part, ...] = ("train", "evaluation", "checkpoint", "logging")

_NS_PER_S = 1e9


@dataclass(slots=True)
class Times:
    """Nanoseconds by part; integers, so that the parts add up exactly.

    Attributes:
        wall_ns: Wall time of each part.
        cpu_ns: CPU time of the process, all threads together, in the training part.
    """

    wall_ns: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PARTS, 0))
    cpu_ns: int = 0

    @property
    def total_ns(self) -> int:
        """Wall time of all parts."""
        return sum(self.wall_ns.values())

    def seconds(self, part: Part) -> float:
        """Return the wall time of one part in seconds."""
        return self.wall_ns[part] / _NS_PER_S

    @property
    def wall_seconds(self) -> float:
        """Wall time of all parts in seconds."""
        return self.total_ns / _NS_PER_S

    @property
    def cpu_seconds(self) -> float:
        """CPU time of the training part in seconds."""
        return self.cpu_ns / _NS_PER_S


class Clock:
    """A stopwatch with one hand, which always points at one part of the work.

    Args:
        device: A CUDA device is synchronised whenever the hand moves, so that its work is charged
            to the part that asked for it.
        wall: Source of wall time in nanoseconds.
        cpu: Source of the process's CPU time in nanoseconds.
    """

    def __init__(
        self,
        device: torch.device | None = None,
        *,
        wall: Callable[[], int] = time.perf_counter_ns,
        cpu: Callable[[], int] = time.process_time_ns,
    ) -> None:
        self._cuda = device if device is not None and device.type == "cuda" else None
        self._wall, self._cpu = wall, cpu
        self._times = Times()
        self._part: Part = "logging"
        self._since = wall()
        self._cpu_since = cpu()

    def switch(self, part: Part) -> None:
        """Charge the time since the last switch to the current part, and switch to ``part``."""
        if self._cuda is not None:
            torch.cuda.synchronize(self._cuda)
        now, cpu_now = self._wall(), self._cpu()
        self._times.wall_ns[self._part] += now - self._since
        if self._part == "train":
            self._times.cpu_ns += cpu_now - self._cpu_since
        self._part, self._since, self._cpu_since = part, now, cpu_now

    def lap(self) -> Times:
        """Return the times since the last lap, up to now, and start the next; the hand stays."""
        self.switch(self._part)
        times, self._times = self._times, Times()
        return times

    def so_far(self) -> Times:
        """Return the times of the running lap up to the last switch."""
        return Times(dict(self._times.wall_ns), self._times.cpu_ns)

    def reading(self, part: Part) -> int:
        """Return the wall time of a part in the running lap up to now, in nanoseconds.

        Cheap enough for every step: it does not wait for a device.
        """
        running = self._wall() - self._since if self._part == part else 0
        return self._times.wall_ns[part] + running

    def add(self, times: Times) -> None:
        """Add times of an earlier process to the running lap."""
        for part, value in times.wall_ns.items():
            self._times.wall_ns[part] += value
        self._times.cpu_ns += times.cpu_ns
