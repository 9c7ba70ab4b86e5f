"""What the trust-region methods for finite sums share: the region, and steps on the whole sum."""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import torch

from napts.optim.acceptance import RadiusRule
from napts.optim.local_solver import Allowance, Found
from napts.optim.local_trust_region import LocalTrustRegion
from napts.optim.multilevel.level import LevelProblem, Models
from napts.optim.multilevel.newton_cg import NewtonModels
from napts.optim.sums.optimizer import Start, SumOptimizer
from napts.optim.sums.options import conjugate_gradients
from napts.optim.vectors import Vector


class SumTrustRegion(SumOptimizer):
    """A method with a trust region, whose radius follows the ratios."""

    differentiates_twice: ClassVar[bool] = True

    def _compose(self, options: Mapping[str, Any]) -> None:
        self._region = float(options["radius"])
        self._rule, self._units = RadiusRule.of(options), float(options["rounding"])
        self._models: Models = partial(NewtonModels, solver=conjugate_gradients(options))

    @property
    def radius(self) -> float:
        """The current trust-region radius; it can be set."""
        return self._region

    @radius.setter
    def radius(self, value: float) -> None:
        low, high = (self.param_groups[0][name] for name in ("radius_min", "radius_max"))
        if not low <= value <= high:
            raise ValueError(f"Invalid radius: {value}, must lie in [{low}, {high}]")
        self._region = float(value)

    def _problem(self, start: Start) -> LevelProblem:
        return LevelProblem(
            start.total, start.theta, start.gradient, start.loss, models=self._models
        )

    def _newton_steps(self, start: Start, steps: int) -> Found:
        """Take steps of the trust-region Newton method itself; the radius follows them."""
        solver = LocalTrustRegion(steps, self._rule, rounding=self._rounding(start.theta))
        return self._followed_by_radius(
            solver.minimise(self._problem(start), Allowance(self._region, reach=math.inf))
        )

    def _followed_by_radius(self, found: Found) -> Found:
        assert found.radius is not None  # a trust region tells it
        self._region = found.radius
        return found

    def _rounding(self, theta: Vector) -> float:
        """Return the share of the loss within which differences of it are rounding."""
        return self._units * torch.finfo(theta[0].dtype).eps

    def _radius(self) -> float:
        return self._region

    def _edited(self, names: set[str]) -> None:
        super()._edited(names)
        if "radius" in names:
            self._region = float(self.param_groups[0]["radius"])
        self._region = min(max(self._region, self._rule.minimum), self._rule.maximum)

    def _numbers(self) -> dict[str, Any]:
        return {"radius": self._region}

    def _take_numbers(self, numbers: Mapping[str, Any]) -> None:
        self._region = numbers["radius"]
