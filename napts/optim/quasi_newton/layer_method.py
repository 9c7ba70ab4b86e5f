"""What the preconditioned methods share: subdomains, their local solvers, the coarse step."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from napts.optim.quasi_newton.curvature import InverseHessian, LimitedMemory
from napts.optim.quasi_newton.function import Function, Point
from napts.optim.quasi_newton.local_lbfgs import LocalLBFGS
from napts.optim.quasi_newton.local_phase import ANYWHERE, Restricted
from napts.optim.quasi_newton.optimizer import QuasiNewtonOptimizer
from napts.optim.quasi_newton.subspaces import LayerSets, Subspace, subspaces
from napts.optim.relayout import identical
from napts.optim.replicas import ONE_REPLICA
from napts.optim.subdomains import ParameterSets


class LayerMethod(QuasiNewtonOptimizer):
    """A quasi-Newton method that is preconditioned by layers.

    Args:
        sets: The subdomains.
        options: The options, as the constructor got them.

    Raises:
        ValueError: If these are not sets of parameters.
    """

    needs = "layers"

    def __init__(self, sets: ParameterSets, options: Mapping[str, Any], /) -> None:
        if not isinstance(sets, ParameterSets):
            raise ValueError(
                f"Invalid sets: {type(sets).__name__}, must be sets of parameters such as "
                "napts.split_layers(model, n_subdomains=4)"
            )
        self._sets = sets
        super().__init__(_all_parameters(sets), options)
        self._solvers: list[LocalLBFGS] = []
        self._spaces: list[Subspace] = []
        self._spaces_of: list[Tensor] = []

    def _make_curvature(self, options: Mapping[str, Any]) -> InverseHessian:
        return LimitedMemory(options["pairs"])

    def _subdomains(self, function: Function) -> list[Subspace]:
        """Return the subdomains, with a solver for each."""
        own = [list(part) for part in self._sets.parameter_sets]
        flat = [p for part in own for p in part]
        if not self._spaces or not identical(flat, self._spaces_of):
            self._spaces, self._spaces_of = subspaces(function.layout, own), flat
        if len(self._solvers) != len(own):
            self._solvers = [self._make_solver() for _ in own]
        return self._spaces

    def _make_solver(self) -> LocalLBFGS:
        options = self._own_options()
        keep = options["local_memory"] == "keep"
        return LocalLBFGS(options["local_steps"], options["local_pairs"], keep=keep)

    def _coarse(self, function: Function, at: Point) -> Point:
        """Take L-BFGS steps on the first layers of all subdomains together."""
        options = self._own_options()
        if not options["coarse_steps"]:
            return at
        if not isinstance(self._sets, LayerSets):
            raise ValueError(
                f"Invalid coarse_steps: {options['coarse_steps']}, must be 0 with sets other than "
                "those of napts.split_layers"
            )
        once = {id(p): p for layer in self._sets.first_layers for p in layer}
        (space,) = subspaces(function.layout, [list(once.values())])
        function.layout.write([at.theta])
        problem = Restricted(
            function, space, space.restrict(at.theta), at.loss, space.restrict(at.gradient)
        )
        solver = LocalLBFGS(options["coarse_steps"], options["local_pairs"])
        (part,) = solver.minimise(problem, ANYWHERE).theta or problem.start
        function.replicas.lead([part])  # every process has computed it
        space.layout.write([part])
        return function.at(function.layout.read()[0])

    def _published_coarse(self, subdomains: int) -> float:
        """Return the cost of the coarse step by the authors' convention, ``k_c S / L``."""
        steps = self._own_options()["coarse_steps"]
        if not steps:
            return 0.0
        assert isinstance(self._sets, LayerSets)
        return steps * subdomains / self._sets.layers

    def _commit(self, function: Function) -> None:
        """Keep what local solvers have learnt, on every process, since each may save the state."""
        if self._own_options()["local_memory"] == "keep" and function.replicas is not ONE_REPLICA:
            self._share_learnt(function)
        for solver in self._solvers:
            solver.commit()

    def _share_learnt(self, function: Function) -> None:
        """Give every process what the solvers of the others have learnt."""
        own, like = function.replicas.own(len(self._solvers)), function.layout.buffer(0)
        tables = [
            solver.learnt(space.restrict(like)).mul_(float(s in own))
            for s, (solver, space) in enumerate(zip(self._solvers, self._spaces, strict=True))
        ]
        function.replicas.add(tables)
        for s, (solver, table) in enumerate(zip(self._solvers, tables, strict=True)):
            if s not in own:
                solver.take(table)

    def _edited(self, options: Mapping[str, Any]) -> None:
        super()._edited(options)
        states = [solver.state_dict() for solver in self._solvers]
        self._solvers = [self._make_solver() for _ in states]
        for solver, state in zip(self._solvers, states, strict=True):
            solver.load_state_dict(state)

    def _forget(self) -> None:
        super()._forget()
        self._solvers, self._spaces, self._spaces_of = [], [], []

    def _trained(self) -> list[Tensor]:
        return [p for p in _all_parameters(self._sets) if p.requires_grad]

    def _numbers(self) -> dict[str, Any]:
        return {**super()._numbers(), "local": [solver.state_dict() for solver in self._solvers]}

    def _take_numbers(self, numbers: Mapping[str, Any]) -> None:
        super()._take_numbers(numbers)
        self._solvers = [self._make_solver() for _ in numbers["local"]]
        for solver, state in zip(self._solvers, numbers["local"], strict=True):
            solver.load_state_dict(state)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Refuse further parameters: the subdomains are fixed.

        Raises:
            ValueError: Always, after construction.
        """
        if self.param_groups:
            raise ValueError(
                f"{type(self).__name__} takes no further parameter groups: its subdomains are "
                "fixed at construction"
            )
        super().add_param_group(param_group)

    def __getstate__(self) -> dict[str, Any]:
        own = {"_sets": self._sets, "_solvers": self._solvers, "_spaces": [], "_spaces_of": []}
        return {**super().__getstate__(), **own}


def _all_parameters(sets: ParameterSets) -> list[Tensor]:
    """Return all parameters of the network once, in the network's order if known."""
    if isinstance(sets, LayerSets):
        return list(sets.parameters)
    return list({id(p): p for part in sets.parameter_sets for p in part}.values())
