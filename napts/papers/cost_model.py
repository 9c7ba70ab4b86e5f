"""Times modelled from counted passes, for one process and for parallel devices.

The unit is a forward and backward pass of the whole network by one process. Subdomains with a
device each take their local steps at the same time. A pass of the whole network goes from device to
device, and they wait for one another unless batches are cut into micro-batches.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from napts.analysis import Section
from napts.analysis.columns import floats
from napts.analysis.labels import grouped
from napts.papers.epoch_times import PAPER_SECONDS
from napts.records.costs import FORWARD_COST

PAPER_BATCHES = 50
"""Batches per epoch in the NAPTS paper: 50,000 images, 1000 per batch."""


class Passes(NamedTuple):
    """Passes per batch, on average.

    Attributes:
        forwards: Forward passes of the whole network.
        backwards: Backward passes of the whole network.
        local: Forwards and backwards of all subdomains together, weighted by the share of the batch
            that they use.
    """

    forwards: float
    backwards: float
    local: float


def bubble(devices: int, micro_batches: int) -> float:
    """Return the share of a pass in which a device of a pipeline waits for others.

    Args:
        devices: Number of devices, with equal parts of the network.
        micro_batches: Parts of a batch that follow one another through the pipeline.
    """
    return (devices - 1) / (micro_batches + devices - 1)


@dataclass(frozen=True)
class CostModel:
    """What passes cost.

    Attributes:
        devices: Devices that share the network; 1 is one process.
        idle: Share of a pass of the whole network in which a device waits, from `bubble` or
            measured.
        forward_share: Cost of a forward as a share of a forward and backward.
        local_share: Time of the local passes of all subdomains in parallel, as a share of their
            time one after the other; ``1 / devices`` for equal subdomains.
    """

    devices: int
    idle: float
    forward_share: float = FORWARD_COST
    local_share: float = 1.0

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense."""
        if self.devices < 1 or not 0 <= self.idle < 1:
            raise ValueError("devices must be at least 1, idle at least 0 and below 1")
        if not 0 < self.forward_share < 1 or not 0 < self.local_share <= 1:
            raise ValueError("forward_share and local_share must be above 0 and at most 1")

    def cost(self, passes: Passes) -> float:
        """Return the cost of a batch."""
        whole = self.forward_share * passes.forwards + (1 - self.forward_share) * passes.backwards
        return whole / (self.devices * (1 - self.idle)) + self.local_share * passes.local


def side_by_side(devices: int, micro_batches: int = 1) -> CostModel:
    """Return the model of devices with one of equal subdomains each."""
    return CostModel(devices, bubble(devices, micro_batches), local_share=1 / devices)


ONE_PROCESS = CostModel(devices=1, idle=0.0)
FOUR_DEVICES = side_by_side(4)
"""The paper's four GPUs with a subdomain each and uncut batches: a pass takes as long as on one."""


class Fit(NamedTuple):
    """How times follow from costs.

    Attributes:
        unit: Time of one unit of cost.
        error: Root mean square of the logarithms of the remaining ratios.
        deviations: These logarithms, of modelled over measured time.
    """

    unit: float
    error: float
    deviations: Mapping[str, float]


def fit(costs: Mapping[str, float], times: Mapping[str, float] = PAPER_SECONDS) -> Fit:
    """Fit the one free unit of a model to times, by least squares of logarithms.

    Args:
        costs: Cost by method.
        times: Time by method; methods that only one of the two has are left out.

    Raises:
        ValueError: They have no method in common.
    """
    shared = [name for name in times if name in costs]
    if not shared:
        raise ValueError("no method has both a cost and a time")
    logs = {name: math.log(costs[name] / times[name]) for name in shared}
    mean = math.fsum(logs.values()) / len(logs)
    deviations = {name: log - mean for name, log in logs.items()}
    error = math.sqrt(math.fsum(d * d for d in deviations.values()) / len(deviations))
    return Fit(math.exp(-mean), error, deviations)


def counted(section: Section) -> dict[str, Passes]:
    """Return the passes per batch by label, means over seeds; labels without counts are left out.

    Args:
        section: The runs.
    """
    names = [f"{name}_per_batch" for name in ("forwards", "backwards", "local_passes")]
    fractions = local_fractions(section)
    found = {}
    for _, label, rows in grouped(section.runs):
        forwards, backwards, local = (float(floats(rows, name).mean()) for name in names)
        if all(map(math.isfinite, (forwards, backwards, local))):
            found[label] = Passes(forwards, backwards, local * fractions[label])
    return found


def local_fractions(section: Section) -> dict[str, float]:
    """Return the share of a batch that local passes use, by label.

    Args:
        section: The runs.
    """
    return {
        label: float(floats(rows, "local_fraction").max())
        for _, label, rows in grouped(section.epochs)
    }


def of_the_paper(passes: Mapping[str, Passes]) -> dict[str, Passes]:
    """Return the five methods whose times the NAPTS paper prints; empty if one is missing."""
    five = {name: passes[name] for name in PAPER_SECONDS if name in passes}
    return five if len(five) == len(PAPER_SECONDS) else {}


def sensitivity(
    passes: Mapping[str, Passes],
    forward_shares: Sequence[float],
    local_shares: Sequence[float],
    model: CostModel = FOUR_DEVICES,
) -> dict[tuple[float, float], float]:
    """Return the error of the fit to the printed times, by the two assumed shares.

    Args:
        passes: Passes by method.
        forward_shares: Assumed costs of a forward as a share of a forward and backward.
        local_shares: Assumed times of local passes in parallel.
        model: The other assumptions.
    """

    def error(forward: float, local: float) -> float:
        varied = replace(model, forward_share=forward, local_share=local)
        return fit({name: varied.cost(counts) for name, counts in passes.items()}).error

    return {(f, q): error(f, q) for f in forward_shares for q in local_shares}
