"""RMTR: a recursive multilevel trust region for residual networks."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, TypedDict, Unpack

from napts.optim.batch import Batch
from napts.optim.local_model import FirstOrder
from napts.optim.local_solver import Allowance, Found
from napts.optim.local_trust_region import LocalTrustRegion
from napts.optim.multilevel.cycle import Cycle, Levels, Smoothing
from napts.optim.multilevel.globalisation import TrustRegion
from napts.optim.multilevel.growing import GrowingSamples
from napts.optim.multilevel.hierarchy import Hierarchy, LevelSum
from napts.optim.multilevel.level import LevelProblem, Models
from napts.optim.multilevel.memories import ForEachFunction
from napts.optim.multilevel.network_costs import NetworkCosts
from napts.optim.multilevel.newton_cg import NewtonModels
from napts.optim.multilevel.room import EXHAUSTED
from napts.optim.option import Amendment, Option
from napts.optim.quadratic_model import SecondOrder
from napts.optim.record import MOST_LEVELS, PassCounts, StepRecord
from napts.optim.relayout import identical
from napts.optim.sr1 import LimitedMemorySR1
from napts.optim.sums.batch_sum import BatchSum
from napts.optim.sums.counts import CountedSum, SumCounts
from napts.optim.sums.optimizer import Start
from napts.optim.sums.options import ConjugateGradientOptions, RadiusOptions, conjugate_gradients
from napts.optim.sums.trust_region import SumTrustRegion
from napts.optim.vectors import Layout, Vector

Model = Literal["sr1", "first-order", "newton-cg"]


def _below_eta_1(options: Mapping[str, Any]) -> str | None:
    bound = options["eta_1"]
    return None if options["eta"] <= bound else f"must be at most eta_1, {bound}"


class RMTROptions(RadiusOptions, ConjugateGradientOptions, TypedDict, total=False):
    """Options of :class:`RMTR`."""

    cycle: Annotated[
        Literal["V", "W", "F"],
        Option(
            "V",
            'How levels are visited: ``"V"``, or ``"W"``, which visits each intermediate level '
            'twice. ``"F"`` trains the coarsest network first, then all levels below the next '
            "finer one, and so on (nested iteration, derived from a switch in the authors' "
            "configuration), and then continues as V.",
        ),
    ]
    nested_steps: Annotated[
        int,
        Option(
            20,
            "Steps of the F-cycle on each level before the next finer one (our choice; the "
            "authors' configuration has up to 100 epochs on the coarsest).",
            within="[1, 1000000]",
        ),
    ]
    smoothing_steps: Annotated[
        int,
        Option(
            1,
            "Trust-region steps before the coarse correction on each level except the coarsest, "
            "rejected ones included. The authors' configuration has up to 2, of which one may "
            "succeed.",
            within="[0, 1000000]",
        ),
    ]
    post_smoothing_steps: Annotated[
        int,
        Option(
            0,
            "Trust-region steps after the coarse correction; none in the authors' configuration.",
            within="[0, 1000000]",
        ),
    ]
    coarse_steps: Annotated[
        int,
        Option(
            5,
            "Trust-region steps on the coarsest level, rejected ones included. The authors' "
            "configuration has up to 10, of which 5 may succeed.",
            within="[1, 1000000]",
        ),
    ]
    model: Annotated[
        Model,
        Option(
            "sr1",
            'Local models: ``"sr1"`` for limited-memory SR1 whose subproblem is solved exactly '
            '(the slides), ``"first-order"``, or ``"newton-cg"`` for Hessians and truncated '
            "conjugate gradients.",
        ),
    ]
    coarse_only: Annotated[
        bool,
        Option(
            False,
            "Curvature on the coarser levels only; the finest takes gradient steps. The authors' "
            "configuration has this switch on; the paper's abstract has curvature on all levels.",
        ),
    ]
    pairs: Annotated[
        int,
        Option(
            10,
            "Number of pairs that SR1 remembers, as in the authors' configuration.",
            within="[1, 1000]",
        ),
    ]
    kappa: Annotated[
        float,
        Option(
            0.5,
            "A coarser level is visited only if its restricted gradient has at least this share "
            "of the length of the gradient; 0 means always. 0.5 is utopia's value. The reference, "
            "the gradient of the finer level, is that of Gratton, Sartenaer and Toint (2008), "
            "recalled.",
            within="[0, inf)",
        ),
    ]
    eta: Annotated[
        float,
        Option(
            0.1,
            "Acceptance threshold for steps and for coarse corrections (our choice; 1e-7 in the "
            "authors' configuration, 0.005 in utopia).",
            within="(0, 1)",
            rule=_below_eta_1,
        ),
    ]
    share: Annotated[
        float,
        Option(
            1.0,
            "Share of a batch's samples in the first cycles. Below 1, each step is a cycle on a "
            "part drawn for it, and the parts grow as described at "
            ":class:`napts.optim.multilevel.growing.GrowingSamples` (our rule; the authors' is "
            "lost). For batches of all samples; 1 is the deterministic method.",
            within="(0, 1]",
            before=1.0,
        ),
    ]
    seed: Annotated[
        int | None,
        Option(
            None,
            "Seed of the generator that draws parts; ``None`` for torch's seed at the first draw.",
            within="[0, 4294967295]",
            before=None,
        ),
    ]


@dataclass(frozen=True, slots=True)
class _Start(Start):
    """Where a step starts, with its levels.

    Attributes:
        functions: The samples of the step on each network, the coarsest first.
        whole: All samples on the network in training.
        share: Share of the samples that the step uses.
    """

    functions: list[CountedSum]
    whole: CountedSum
    share: float


class RMTR(SumTrustRegion):
    r"""Recursive multilevel trust region for residual networks.

    One step is one cycle on one batch. It takes a trust-region step on the network. Then, unless
    the restricted gradient is too small, shallower networks take steps; their loss on the same
    batch is corrected to have the gradient of the finer level at the start. The result is
    prolonged, and accepted if the loss falls by more than ``eta`` times the fall of the coarser
    loss. All steps of a coarser level together stay within the radius. With one level it is a
    trust-region method with ``coarse_steps`` steps on a batch.

    It takes any closure that calls the network: while a level is evaluated, the network holds the
    blocks of that level. On batches with a ``function_key`` the finest level keeps its memory from
    step to step; without one, its pairs come from a single batch. The sample set of a cycle is what
    ``step`` is given or, with ``share``, a part of it.

    Our choices, where the sources are silent: on a coarser level the radius is divided by the
    stretch of the transfer, so that ``||I s|| <= radius`` holds for every step (the sources hand
    down the radius itself, which the first step may exceed); secant pairs come from accepted steps
    only; there is no line search along the prolonged step; and a small gradient does not end a
    level early.

    Args:
        hierarchy: From :func:`napts.residual_hierarchy`.

    Raises:
        ValueError: If an argument is out of range.

    Reference: Kopanicakova, Krause, *Globally convergent multilevel training of deep residual
    networks* (2023), arXiv 2107.07572, by its abstract, slides and the default configuration of
    the authors' code. The printed algorithm, settings and tables were not available to us.
    """

    needs: ClassVar[str] = "hierarchy"

    amended = (
        Amendment(
            "eta_1", "Here the radius shrinks below this ratio; ``eta`` decides on acceptance."
        ),
        Amendment("cg_tolerance", "0.1 is our choice for networks.", default=0.1),
    )

    def __init__(self, hierarchy: Hierarchy, **options: Unpack[RMTROptions]) -> None:
        if not hasattr(hierarchy, "layouts"):
            raise TypeError(
                f"RMTR: found {type(hierarchy).__name__}, allowed: what "
                "napts.residual_hierarchy(model) returns"
            )
        if len(hierarchy.layouts) > MOST_LEVELS:
            raise ValueError(
                f"levels: found {len(hierarchy.layouts)}, allowed: 1 to {MOST_LEVELS} for RMTR"
            )
        self._hierarchy = hierarchy
        self._costs = NetworkCosts(hierarchy.depths)
        self._level, self._done = -1, 0
        super().__init__(hierarchy.parameters, options)

    def _compose(self, options: Mapping[str, Any]) -> None:
        super()._compose(options)
        self._memory = SecondOrder("l2", LimitedMemorySR1(options["pairs"]))
        self._samples = GrowingSamples(float(options["share"]))
        top = len(self._hierarchy.layouts) - 1
        if self._level < 0 or options["cycle"] != "F":
            self._level = 0 if options["cycle"] == "F" else top
        if options["cycle"] == "F" and not all(t.exact for t in self._hierarchy.transfers):
            raise ValueError(
                "Invalid cycle: F, must be V or W with transfer nodal-weighted, which does not "
                "give a network back after prolonging and projecting it"
            )

    def _models_of(self, options: Mapping[str, Any]) -> list[Models]:
        """Return the makers of local models, for each level up to the one in training."""
        curved: Models
        if options["model"] == "newton-cg":
            curved = partial(NewtonModels, solver=conjugate_gradients(options))
            coarser, finest = [curved] * self._level, curved
        elif options["model"] == "first-order":
            curved = _first_order
            coarser, finest = [curved] * self._level, curved
        else:
            pairs = options["pairs"]
            coarser = [
                ForEachFunction(lambda _: SecondOrder("l2", LimitedMemorySR1(pairs)))
                for _ in range(self._level)
            ]
            finest = self._remembering
        if options["coarse_only"] and 0 < self._level == len(self._hierarchy.layouts) - 1:
            finest = _first_order
        return [*coarser, finest]

    def _remembering(self, _function: Any) -> SecondOrder:
        """Return the models of the level in training, which are kept from step to step."""
        return self._memory

    def _cycle(self, options: Mapping[str, Any], rounding: float) -> Cycle:
        eta = float(options["eta"])

        def steps(name: str) -> LocalTrustRegion | None:
            if not options[name]:
                return None
            return LocalTrustRegion(options[name], self._rule, EXHAUSTED, rounding, eta)

        coarse = steps("coarse_steps")
        assert coarse is not None
        smoothing = Smoothing(steps("smoothing_steps"), steps("post_smoothing_steps"))
        return Cycle(
            coarse,
            [smoothing] * self._level,
            TrustRegion(self._rule, eta, rounding),
            visits=2 if options["cycle"] == "W" else 1,
            kappa=float(options["kappa"]),
            models=self._models_of(options),
        )

    def _start(self, batch: Batch, total: CountedSum, theta: Vector) -> tuple[Start, int]:
        """Evaluate at the start of the step, on the network in training."""
        hierarchy = self._hierarchy
        checks = self._costs.count(batch, hierarchy)
        for transfer in reversed(hierarchy.transfers[self._level :]):
            theta = transfer.project(theta)
        counts = [SumCounts() for _ in hierarchy.layouts]
        whole = CountedSum(self._on(batch, self._level), counts[self._level])
        part, size = self._part(batch, whole, theta)
        functions = [
            CountedSum(self._on(part, level), counts[level], size) for level in range(len(counts))
        ]
        known = None if self._kept is None else self._kept.key
        if known is None or known != part.function_key:
            self._memory.memory.part()  # its gradients are of other samples
        start, more = super()._start(part, functions[self._level], theta)
        share = functions[self._level].share
        found = _Start(
            start.batch,
            start.total,
            start.theta,
            start.loss,
            start.gradient,
            functions,
            whole,
            share,
        )
        return found, checks + more

    def _part(self, batch: Batch, whole: CountedSum, theta: Vector) -> tuple[Batch, int | None]:
        """Return the samples of a step and, if these are not all, how many there are in all."""
        samples = self._samples
        if samples.whole:
            return batch, None
        count = len(batch)
        if samples.begins:
            samples.begin(theta, whole.value(theta))
        return batch.take(self._sampling.draw(count, samples.size(count))), count

    def _on(self, batch: Batch, level: int) -> LevelSum:
        hierarchy = self._hierarchy
        inner = BatchSum(batch, hierarchy.layouts[level])
        return LevelSum(inner, partial(hierarchy.at, level), hierarchy.common)

    def _advance(self, start: Start) -> Found:
        assert isinstance(start, _Start)
        options, hierarchy = self.param_groups[0], self._hierarchy
        cycle = self._cycle(options, self._rounding(start.theta))
        transfers = hierarchy.transfers[: self._level]
        levels = Levels(start.functions[: self._level + 1], transfers)
        problem = LevelProblem(
            start.total, start.theta, start.gradient, start.loss, models=cycle.models[-1]
        )
        found = cycle.run(levels, problem, Allowance(self._region, reach=math.inf))
        found = self._judged(self._followed_by_radius(found), start)
        found = self._on_the_finest(found, start.theta)
        self._count_nested(options)
        return found

    def _judged(self, found: Found, start: _Start) -> Found:
        """Return where a step leads, after judging the round of parts if the step ends one."""
        samples = self._samples
        if samples.whole:
            return found
        theta = start.theta if found.theta is None else found.theta
        decrease = 0.0 if found.loss is None else start.loss - found.loss
        if not samples.note(decrease):
            return found
        theta, self._region = samples.judge(
            theta, start.whole.value(theta), self._region, self._rule
        )
        return found._replace(theta=theta)

    def _on_the_finest(self, found: Found, start: Vector) -> Found:
        """Return the result of a step as parameters of the finest network."""
        theta = found.theta
        if theta is None or theta is start:
            return found._replace(theta=None)  # bit for bit what it was
        for transfer in self._hierarchy.transfers[self._level :]:
            theta = transfer.prolong(theta)
        return found._replace(theta=theta)

    def _count_nested(self, options: Mapping[str, Any]) -> None:
        """Go to the next finer level of an F-cycle once this level has taken its steps."""
        if self._level == len(self._hierarchy.layouts) - 1:
            return
        self._done += 1
        if self._done >= options["nested_steps"]:
            self._level, self._done = self._level + 1, 0
            self._memory.forget()
            self._samples.drop()

    def _passes(self, start: Start, checks: int) -> PassCounts:
        """Return the passes of all networks, weighted by their share of the finest's operations."""
        assert isinstance(start, _Start)
        shares = self._costs.by_operations
        counts = [function.counts for function in start.functions]
        return PassCounts(
            sum(share * count.forwards for share, count in zip(shares, counts, strict=True)),
            sum(share * count.backwards for share, count in zip(shares, counts, strict=True)),
            checks=checks,
        )

    def _completed_record(
        self, record: StepRecord, found: Found, start: Start, moved: Vector, radius: float | None
    ) -> StepRecord:
        assert isinstance(start, _Start)
        record = super()._completed_record(record, found, start, moved, radius)
        counts = [function.counts for function in start.functions]
        work = [
            share * (count.gradients + count.products)
            for share, count in zip(self._costs.by_blocks, counts, strict=True)
        ]
        told: dict[str, Any] = {f"work_level_{n}": each for n, each in enumerate(work, 1)}
        parts = self.param_groups[0]["share"] < 1.0
        told |= {"work_units": sum(work), "sample_fraction": start.share if parts else None}
        if self.param_groups[0]["model"] == "newton-cg":
            shares = self._costs.by_operations
            told |= {
                "hessians": _weighted(shares, [count.hessians for count in counts]),
                "hessian_products": _weighted(shares, [count.products for count in counts]),
                "cg_iterations": sum(count.cg_iterations for count in counts),
            }
        else:
            told |= dict.fromkeys(("hessians", "hessian_products", "cg_iterations"))
        return replace(record, **told)

    def _current_layout(self) -> Layout:
        hierarchy = self._hierarchy
        given = [p for group in self.param_groups for p in group["params"]]
        if not identical(given, hierarchy.parameters):
            raise ValueError(
                "Invalid parameter groups: RMTR trains only the network of its hierarchy"
            )
        hierarchy.follow()
        self._layout = hierarchy.layouts[-1]
        return self._layout

    def _numbers(self) -> dict[str, Any]:
        return {
            **super()._numbers(),
            "level": self._level,
            "done": self._done,
            "operations": list(self._costs.operations),
            "memory": self._memory.state_dict(),
            "samples": self._samples.state_dict(),
        }

    def _take_numbers(self, numbers: Mapping[str, Any]) -> None:
        super()._take_numbers(numbers)
        self._level, self._done = numbers["level"], numbers["done"]
        self._costs.operations = list(numbers["operations"])
        self._memory.load_state_dict(numbers["memory"])
        self._samples.load_state_dict(numbers["samples"])

    def _edited(self, names: set[str]) -> None:
        super()._edited(names)
        if "share" in names:
            self._samples = GrowingSamples(float(self.param_groups[0]["share"]))

    def __getstate__(self) -> dict[str, Any]:
        own = {name: self.__dict__[name] for name in ("_hierarchy", "_costs", "_level", "_done")}
        return {**super().__getstate__(), **own}


def _first_order(_function: Any) -> FirstOrder:
    return FirstOrder()


def _weighted(shares: list[float], numbers: list[float]) -> float:
    return sum(share * number for share, number in zip(shares, numbers, strict=True))
