"""The V-cycle: smoothing, a coarse correction that is consistent to first order, globalisation.

The same code serves everything that has levels: subsets of the samples of a finite sum (MLVR,
sub-sampled Newton, ASTROM), where all transfers are the identity, and hierarchies of networks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from napts.optim import vectors
from napts.optim.local_solver import Allowance, Found, LocalSolver
from napts.optim.multilevel.globalisation import Globalisation, LineSearch
from napts.optim.multilevel.level import Corrected, Function, LevelProblem, Models
from napts.optim.multilevel.transfer import IDENTITY, Transfer
from napts.optim.multilevel.visit import Visit
from napts.optim.vectors import Vector

Solver = LocalSolver[Any]
"""Takes steps on a level, whatever it needs from it."""


@dataclass(frozen=True, slots=True)
class Levels:
    """The functions of one cycle, the coarsest first.

    Attributes:
        functions: One for each level. If two neighbours are the same object and have the same
            variables, the coarser one needs no correction.
        transfers: Between each level and the next finer one; empty for the identity everywhere.
        redraw: Returns a new coarsest function for each further visit; ``None`` if it is always the
            same.
    """

    functions: Sequence[Function]
    transfers: Sequence[Transfer] = ()
    redraw: Callable[[], Function] | None = None

    def transfer(self, level: int) -> Transfer:
        """Return the transfer between a level and the next finer one."""
        return self.transfers[level] if self.transfers else IDENTITY

    def consistent(
        self, level: int, fine: LevelProblem, origin: Vector, slope: Vector, *, again: bool = False
    ) -> Function:
        """Return a level's function with the gradient of the finer one's.

        Args:
            level: The coarser level.
            fine: The finer level at its current point.
            origin: That point, projected.
            slope: Its gradient, restricted.
            again: Whether this is a further visit.
        """
        redraw = self.redraw if again and level == 0 else None
        function = self.functions[level] if redraw is None else redraw()
        if function is self.functions[level + 1] and self.transfer(level) is IDENTITY:
            return fine.function
        return Corrected(function, origin, slope)


@dataclass(frozen=True, slots=True)
class Smoothing:
    """What is done on a level besides the coarse correction.

    Attributes:
        before: Takes steps before it; ``None`` for no steps.
        after: Takes steps after it.
    """

    before: Solver | None = None
    after: Solver | None = None


@dataclass(frozen=True, slots=True)
class Cycle:
    """How levels are visited.

    On a level with the function ``h``, at ``theta``, a cycle first smooths. Then, unless the
    restricted gradient is too small, it visits the coarser function
    ``L + <R grad h(theta) - grad L(P theta), . - P theta>`` once or several times, starting from
    ``P theta``. The result is prolonged and globalised, and the cycle smooths again.

    Attributes:
        coarse: Minimises on the coarsest level.
        smoothing: For each level above it, the coarsest first.
        globalisation: Decides how far a prolonged step is taken.
        visits: Visits to an intermediate level for each visit to the next finer one: 1 for the
            V-cycle, 2 for the W-cycle.
        coarse_visits: Visits to the coarsest level for each visit to the next finer one.
        kappa: The coarser level is visited only if ``||R g|| >= kappa ||g||`` (Gratton, Sartenaer,
            Toint, 2008); 0 means always.
        models: Makers of the local models of a trust region, for each level; empty for none.
    """

    coarse: Solver
    smoothing: Sequence[Smoothing]
    globalisation: Globalisation = field(default_factory=LineSearch)
    visits: int = 1
    coarse_visits: int = 1
    kappa: float = 0.0
    models: Sequence[Models] = ()

    def run(self, levels: Levels, problem: LevelProblem, allowance: Allowance) -> Found:
        """Perform one cycle.

        Args:
            levels: The functions.
            problem: The finest one, at its current point.
            allowance: For a trust region, the radius and how far the cycle may lead.

        Returns:
            Where it leads, with the radius and the trials of the finest level.
        """
        return self._visit(levels, len(levels.functions) - 1, problem, allowance)

    def _visit(
        self, levels: Levels, level: int, problem: LevelProblem, allowance: Allowance
    ) -> Found:
        if level == 0:
            return _minimised(self.coarse, problem, allowance)
        visit, smoothing = Visit(problem, allowance, self._models(level)), self.smoothing[level - 1]
        self._smooth(smoothing.before, visit)
        self._correct(levels, level, visit)
        self._smooth(smoothing.after, visit)
        return visit.found()

    @staticmethod
    def _smooth(solver: Solver | None, visit: Visit) -> None:
        if solver is not None and not visit.exhausted:
            visit.take(_minimised(solver, visit.problem, visit.allowance))

    def _correct(self, levels: Levels, level: int, visit: Visit) -> None:
        """Correct from the next coarser level."""
        if visit.exhausted:
            return
        problem, transfer = visit.problem, levels.transfer(level - 1)
        problem.observe()
        slope = transfer.restrict(problem.slope)
        if self._pointless(problem.slope, slope):
            return
        radius = min(visit.radius, visit.left)
        coarse = self._descend(levels, level - 1, problem, slope, radius / transfer.stretch)
        step = transfer.prolong(vectors.subtract(coarse.theta, coarse.origin))
        found = self.globalisation.take(problem, step, coarse.decrease, radius)
        visit.take(found)

    def _descend(
        self, levels: Levels, level: int, fine: LevelProblem, slope: Vector, radius: float
    ) -> Visit:
        """Visit a level as often as needed, from the current point of the finer one."""
        origin = levels.transfer(level).project(fine.start)
        models = self._models(level)
        function = levels.consistent(level, fine, origin, slope)
        loss = fine.loss if function is fine.function else None
        start = LevelProblem(function, origin, slope, loss, models=models, norm=fine.norm)
        visit = Visit(start, Allowance(radius, reach=radius), models)
        for turn in range(self.visits if level else self.coarse_visits):
            if visit.exhausted:
                break
            if turn and level == 0 and levels.redraw is not None:
                visit.go_on_with(levels.consistent(level, fine, origin, slope, again=True))
            visit.take(self._visit(levels, level, visit.problem, visit.allowance))
        return visit

    def _models(self, level: int) -> Models | None:
        return self.models[level] if self.models else None

    def _pointless(self, fine: Vector, coarse: Vector) -> bool:
        """Tell whether the coarser level has too little to contribute."""
        if self.kappa == 0.0:
            return False
        whole, part = vectors.to_host([vectors.norm(fine, "l2"), vectors.norm(coarse, "l2")])
        return part < self.kappa * whole


def _minimised(solver: Solver, problem: LevelProblem, allowance: Allowance) -> Found:
    solver.begin([problem])
    return solver.minimise(problem, allowance)
