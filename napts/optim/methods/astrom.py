"""ASTROM: a two-level trust region whose coarse level sees a growing subset of the samples."""

import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, TypedDict, Unpack

from napts.optim.local_solver import Allowance, Found
from napts.optim.local_trust_region import LocalTrustRegion
from napts.optim.multilevel.cycle import Cycle, Levels, Smoothing
from napts.optim.multilevel.globalisation import TrustRegion
from napts.optim.multilevel.room import EXHAUSTED
from napts.optim.option import Amendment, Option
from napts.optim.sums.optimizer import Start
from napts.optim.sums.options import ConjugateGradientOptions, RadiusOptions, SeedOptions
from napts.optim.sums.sampling import sample_count
from napts.optim.sums.subsets import Subsets
from napts.optim.sums.trust_region import SumTrustRegion


class ASTROMOptions(SeedOptions, RadiusOptions, ConjugateGradientOptions, TypedDict, total=False):
    """Options of :class:`ASTROM`."""

    share: Annotated[
        float,
        Option(
            0.02,
            "Share of the samples in the first subset: 0.02 in the published figure, 0.01 to 0.5 "
            "in the published table.",
            within="(0, 1]",
        ),
    ]
    growth: Annotated[
        float,
        Option(
            2.0,
            "Factor by which a rejected step enlarges the subset. The slides' value is lost; 2 is "
            "our choice.",
            within="(1, inf)",
        ),
    ]
    coarse_steps: Annotated[
        int,
        Option(
            2,
            "Trust-region steps on the subset per test on all samples. Derived: the published "
            "table has more Hessians than iterations.",
            within="[1, 1000000]",
        ),
    ]


class ASTROM(SumTrustRegion):
    r"""Two-level trust region on a subset of the samples that grows when a step is rejected.

    One step is one iteration: trust-region Newton steps on the loss of the subset, which is
    corrected to have the gradient of all samples at the start. Together they stay within the
    radius. They are accepted if the whole loss falls by more than ``eta_1`` times the fall of the
    coarse loss. Otherwise the subset keeps its samples and gets more, and no gradient is
    recomputed. Once the subset has all samples, an iteration is ``coarse_steps`` iterations of
    :class:`TRNewton`.

    Args:
        params: Parameters or groups of them, with all options in common.

    Raises:
        ValueError: If an argument is out of range.

    Reference: the slides on multilevel training by Krause and others; the paper was not available
            to us.
    """

    amended = (
        Amendment(
            "eta_1",
            "Also the threshold of the test on all samples. At 0.1 the subset hardly grows; 0.5 "
            "comes closest to the published counts.",
        ),
    )

    def __init__(self, params: Iterable[Any], **options: Unpack[ASTROMOptions]) -> None:
        super().__init__(params, options)

    def _compose(self, options: Mapping[str, Any]) -> None:
        super()._compose(options)
        self._growth, self._steps = float(options["growth"]), options["coarse_steps"]
        self._seen = 0.0
        self._resize(float(options["share"]))

    def _advance(self, start: Start) -> Found:
        count = len(start.total)
        size = sample_count(self._subset_share, count)
        self._seen = size / count
        if size == count:
            return self._newton_steps(start, self._steps)
        rounding = self._rounding(start.theta)
        cycle = Cycle(
            LocalTrustRegion(self._steps, self._rule, EXHAUSTED, rounding),
            [Smoothing()],
            TrustRegion(self._rule, rounding=rounding),
            models=[self._models, self._models],
        )
        (subset,), _ = self._subsets.of(start.batch, start.total, self._sampling)
        allowance = Allowance(self._region, reach=math.inf)
        found = cycle.run(Levels([subset, start.total]), self._problem(start), allowance)
        if not found.trials[-1].accepted:
            self._resize(min(1.0, self._growth * size / count))
        return self._followed_by_radius(found)

    def _resize(self, share: float) -> None:
        """Give the next subset this share of the samples, in the order kept."""
        self._subset_share = share
        self._subsets = Subsets([share], "never")

    def _share(self) -> float:
        return self._seen

    def _edited(self, names: set[str]) -> None:
        super()._edited(names)
        if "share" in names:
            self._resize(float(self.param_groups[0]["share"]))

    def _numbers(self) -> dict[str, Any]:
        return {**super()._numbers(), "share": self._subset_share}

    def _take_numbers(self, numbers: Mapping[str, Any]) -> None:
        super()._take_numbers(numbers)
        if numbers["share"] != self._subset_share:
            self._resize(numbers["share"])
