"""Multilevel variance reduction."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypedDict, Unpack

from napts.optim.local_solver import UNBOUNDED, Found
from napts.optim.multilevel.armijo import Armijo
from napts.optim.multilevel.cycle import Cycle, Levels, Smoothing, Solver
from napts.optim.multilevel.globalisation import FixedStep, LineSearch
from napts.optim.multilevel.gradient_descent import GradientDescent
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
from napts.optim.sums.subsets import Resample, Subsets

CoarseSolver = Literal["newton", "gd"]
_COARSE_STEPS: Mapping[CoarseSolver, int] = {"newton": 5, "gd": 10}


def _rising(options: Mapping[str, Any]) -> str | None:
    shares = list(options["shares"])
    if not shares:
        return "must be at least one share of the samples"
    return (
        None if shares == sorted(shares) else "must not decrease; the coarsest level's comes first"
    )


class MLVROptions(SeedOptions, ConjugateGradientOptions, LineSearchOptions, TypedDict, total=False):
    """Options of :class:`MLVR`."""

    shares: Annotated[
        Sequence[float],
        Option(
            (0.1,),
            "Shares of the samples on the coarser levels, the coarsest first; one for each level "
            "below the whole sum. 0.1, and 0.01 for a third level, are our choice; the authors' "
            "configuration halves the share from level to level.",
            within="(0, 1]",
            noun="shares",
            rule=_rising,
        ),
    ]
    nested: Annotated[
        bool,
        Option(
            True,
            "Whether each subset is part of that of the next finer level, as in the authors' "
            "configuration; otherwise they are independent.",
        ),
    ]
    resample: Annotated[
        Resample,
        Option(
            "cycle",
            'When new subsets are drawn: for each ``"cycle"`` (our choice), for each ``"step"`` on '
            'the coarsest level, as in SVRG, or ``"never"``.',
        ),
    ]
    smoothing_steps: Annotated[
        int,
        Option(
            1,
            "Gradient steps before the coarse correction, on each level except the coarsest. The "
            "authors' configuration has up to 2, of which one may succeed. 0 saves a gradient of "
            "all samples.",
            within="[0, 1000000]",
        ),
    ]
    post_smoothing_steps: Annotated[
        int,
        Option(
            0,
            "Gradient steps after the coarse correction, likewise (our choice).",
            within="[0, 1000000]",
        ),
    ]
    coarse_solver: Annotated[
        CoarseSolver,
        Option(
            "newton",
            'Steps on the coarsest level: ``"newton"`` for Newton steps from conjugate gradients '
            '(our choice), ``"gd"`` for gradient steps, the default of the authors\' '
            "configuration.",
        ),
    ]
    coarse_steps: Annotated[
        int | None,
        Option(
            None,
            "Number of steps on the coarsest level; ``None`` for 5 Newton steps or 10 gradient "
            "steps. The authors' configuration has up to 10, of which 5 may succeed.",
            within="[1, 1000000]",
        ),
    ]
    lr: Annotated[
        float | None,
        Option(
            None,
            "Fixed length of the steps on the coarsest level, as a factor of the gradient or "
            "Newton step; ``None`` for a line search.",
            within="(0, inf)",
        ),
    ]
    line_search: Annotated[
        bool,
        Option(
            True,
            "Search along the coarse correction on every finer level, from 1; otherwise it is "
            "taken unchanged, as in SVRG.",
        ),
    ]
    cycle: Annotated[
        Literal["V", "W"],
        Option(
            "V",
            "With more than two levels: whether each intermediate level is visited once or twice.",
        ),
    ]


class MLVR(SumOptimizer):
    r"""Multilevel variance reduction: a V-cycle over subsets of the samples.

    One step is one cycle. It takes a gradient of all samples and smoothing steps. Then, with a
    further gradient, it takes a correction from the coarser level, whose loss over a subset is
    corrected to have the gradient of the finer one at its start, and searches along it. Sub-sampled
    Newton methods and SVRG are special cases, as the tests show: no smoothing and either one Newton
    step of fixed length on one subset, or gradient steps on one sample drawn anew for each.

    Args:
        params: Parameters or groups of them, with all options in common.

    Raises:
        ValueError: If an argument is out of range.

    Reference: Braglia, Kopanicakova, Krause, *A multilevel approach to training* (2020), arXiv
            2006.15602. Of its settings we know only the default configuration of the authors' code.
    """

    amended = (Amendment("cg_tolerance", "0.1 is our choice for steps on subsets.", default=0.1),)

    def __init__(self, params: Iterable[Any], **options: Unpack[MLVROptions]) -> None:
        super().__init__(params, options)

    def _compose(self, options: Mapping[str, Any]) -> None:
        shares = list(map(float, options["shares"]))
        self._smallest: float | None = None
        self._subsets = Subsets(shares, options["resample"], nested=options["nested"])
        steps = options["coarse_steps"] or _COARSE_STEPS[options["coarse_solver"]]
        each = options["resample"] == "step"
        search = line_search(options)
        self._smoothers = [
            _Smoothers(options["smoothing_steps"], options["post_smoothing_steps"], search)
            for _ in shares
        ]
        self._coarse: Solver
        if options["coarse_solver"] == "newton":
            solver = conjugate_gradients(options)
            self._coarse = NewtonCG(1 if each else steps, options["lr"], solver, search)
        else:
            self._coarse = GradientDescent(1 if each else steps, options["lr"], search)
        self._cycle = Cycle(
            self._coarse,
            [smoothers.smoothing for smoothers in self._smoothers],
            LineSearch(search) if options["line_search"] else FixedStep(),
            visits=2 if options["cycle"] == "W" else 1,
            coarse_visits=steps if each else 1,
        )

    def _advance(self, start: Start) -> Found:
        functions, redraw = self._subsets.of(start.batch, start.total, self._sampling)
        self._smallest = functions[0].share
        problem = LevelProblem(start.total, start.theta, start.gradient, start.loss)
        levels = Levels([*functions, start.total], redraw=redraw)
        return self._cycle.run(levels, problem, UNBOUNDED)

    def _numbers(self) -> dict[str, Any]:
        return {
            "smoothers": [smoothers.trials() for smoothers in self._smoothers],
            "coarse": self._coarse.state_dict(),
        }

    def _take_numbers(self, numbers: Mapping[str, Any]) -> None:
        for smoothers, trials in zip(self._smoothers, numbers["smoothers"], strict=False):
            smoothers.set(trials)
        if numbers["coarse"] and isinstance(self._coarse, GradientDescent):
            self._coarse.load_state_dict(numbers["coarse"])

    def _share(self) -> float | None:
        return self._smallest


class _Smoothers:
    """The gradient steps of one level; each kind has its own trial length.

    Args:
        before: Number of steps before the coarse correction.
        after: Number of steps after it.
        search: Their line search.
    """

    def __init__(self, before: int, after: int, search: Armijo) -> None:
        self._both = [
            GradientDescent(steps, search=search) if steps else None for steps in (before, after)
        ]

    @property
    def smoothing(self) -> Smoothing:
        """Both kinds, in the form that a cycle takes."""
        return Smoothing(*self._both)

    def trials(self) -> list[float | None]:
        """Return the next trial lengths."""
        return [None if solver is None else solver.trial for solver in self._both]

    def set(self, trials: Sequence[float | None]) -> None:
        """Set them."""
        for solver, trial in zip(self._both, trials, strict=True):
            if solver is not None and trial is not None:
                solver.trial = trial
