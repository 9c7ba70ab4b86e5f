"""The sub-sampled Newton method."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, TypedDict, Unpack

from napts.optim.local_solver import UNBOUNDED, Found
from napts.optim.multilevel.cycle import Cycle, Levels, Smoothing
from napts.optim.multilevel.globalisation import FixedStep, LineSearch
from napts.optim.multilevel.level import LevelProblem
from napts.optim.multilevel.newton_cg import NewtonCG
from napts.optim.option import Amendment, Option
from napts.optim.sums.optimizer import Start, SumOptimizer
from napts.optim.sums.options import (
    ConjugateGradientOptions,
    LineSearchOptions,
    SeedOptions,
    conjugate_gradients,
    line_search,
)
from napts.optim.sums.subsets import Subsets


class SSNOptions(SeedOptions, ConjugateGradientOptions, LineSearchOptions, TypedDict, total=False):
    """Options of :class:`SSN`."""

    share: Annotated[
        float,
        Option(
            0.1,
            "Share of the samples used for a Hessian, drawn anew for each step (our choice; the "
            "published runs have 0.01 to 0.25).",
            within="(0, 1]",
        ),
    ]
    lr: Annotated[
        float | None,
        Option(
            None,
            "Fixed length of the step, as a factor of the Newton step: 0.1 in the authors' "
            "configuration, 0.075 to 0.5 in the published runs. ``None`` for a line search from 1 "
            "(our choice).",
            within="(0, inf)",
        ),
    ]


class SSN(SumOptimizer):
    r"""Sub-sampled Newton: conjugate gradients with a subset's Hessian and the full gradient.

    This is the cycle of :class:`MLVR` with two levels, no smoothing, and one Newton step on the
    coarser level, which costs no gradient there. Without a regulariser the Hessian on few samples
    is singular, and the step may be too long for any line search; it is then not taken.

    Args:
        params: Parameters or groups of them, with all options in common.

    Raises:
        ValueError: If an argument is out of range.

    Reference: the baseline of the slides on multilevel training by Krause and others; Bollapragada,
    Byrd, Nocedal, *Exact and inexact subsampled Newton methods for optimization* (2019).
    """

    differentiates_twice: ClassVar[bool] = True
    amended = (Amendment("cg_iterations", "The authors' configuration has 5 for this method."),)

    def __init__(self, params: Iterable[Any], **options: Unpack[SSNOptions]) -> None:
        super().__init__(params, options)

    def _compose(self, options: Mapping[str, Any]) -> None:
        self._smallest: float | None = None
        self._subsets = Subsets([float(options["share"])])
        lr = options["lr"]
        search = LineSearch(line_search(options)) if lr is None else FixedStep(lr)
        newton = NewtonCG(1, 1.0, conjugate_gradients(options))
        self._cycle = Cycle(newton, [Smoothing()], search)

    def _advance(self, start: Start) -> Found:
        functions, _ = self._subsets.of(start.batch, start.total, self._sampling)
        self._smallest = functions[0].share
        problem = LevelProblem(start.total, start.theta, start.gradient, start.loss)
        return self._cycle.run(Levels([*functions, start.total]), problem, UNBOUNDED)

    def _share(self) -> float | None:
        return self._smallest
