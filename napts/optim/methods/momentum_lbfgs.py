"""L-BFGS with momentum, the baseline of ASPQN and MSPQN, and L-BFGS after steps of Adam."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, TypedDict, Unpack

import torch
from torch import Tensor

from napts.optim.option import Amendment, Option
from napts.optim.quasi_newton.curvature import InverseHessian, LimitedMemory
from napts.optim.quasi_newton.function import Function, Point
from napts.optim.quasi_newton.optimizer import Costs, QuasiNewtonOptimizer
from napts.optim.quasi_newton.options import QuasiNewtonOptions


class MomentumLBFGSOptions(QuasiNewtonOptions, TypedDict, total=False):
    """Options of :class:`MomentumLBFGS`."""


class MomentumLBFGS(QuasiNewtonOptimizer):
    r"""L-BFGS with momentum and strong Wolfe searches: :class:`ASPQN` without its local phase.

    With ``momentum=1`` and full batches it takes the steps of :class:`torch.optim.LBFGS` with
    ``max_iter=1``. It saves the gradient with which each of those begins if the batch says that
    its function is unchanged.

    Args:
        params: Parameters or groups of them, with all options in common.

    Raises:
        ValueError: If an argument is out of range.

    Reference: The slides of Krause and others, "L-BFGS with momentum"; the authors' code.
    """

    def __init__(self, params: Iterable[Any], **options: Unpack[MomentumLBFGSOptions]) -> None:
        super().__init__(params, options)

    def _make_curvature(self, options: Mapping[str, Any]) -> InverseHessian:
        return LimitedMemory(options["pairs"])

    def _advance(self, function: Function, at: Point) -> tuple[Point, Costs]:
        return self._quasi_newton_step(function, at), Costs(published=1.0)


class AdamLBFGSOptions(QuasiNewtonOptions, TypedDict, total=False):
    """Options of :class:`AdamLBFGS`."""

    adam_steps: Annotated[int, Option(1000, "Steps of Adam (our choice).", within="[0, 1000000]")]
    adam_lr: Annotated[float, Option(1e-3, "Its learning rate.", within="(0, inf)")]


class AdamLBFGS(QuasiNewtonOptimizer):
    r"""Adam for a number of steps, then L-BFGS: the usual way to train such networks.

    Args:
        params: Parameters or groups of them, with all options in common.

    Raises:
        ValueError: If an argument is out of range.
    """

    amended = (
        Amendment("pairs", "50 is our choice here.", default=50),
        Amendment("momentum", "1 is our choice here.", default=1.0),
    )

    def __init__(self, params: Iterable[Any], **options: Unpack[AdamLBFGSOptions]) -> None:
        super().__init__(params, options)
        self._moments: list[Tensor] = []

    def _make_curvature(self, options: Mapping[str, Any]) -> InverseHessian:
        return LimitedMemory(options["pairs"])

    def _advance(self, function: Function, at: Point) -> tuple[Point, Costs]:
        options = self._own_options()
        if self._iterations >= options["adam_steps"]:
            return self._quasi_newton_step(function, at), Costs(published=1.0)
        theta, self._moments = _adam(at, self._moments, self._iterations + 1, options["adam_lr"])
        return function.at(theta), Costs(published=1.0)

    def _forget(self) -> None:
        super()._forget()
        self._moments = []

    def _numbers(self) -> dict[str, Any]:
        return {**super()._numbers(), "moments": self._moments}

    def _take_numbers(self, numbers: Mapping[str, Any]) -> None:
        super()._take_numbers(numbers)
        self._moments = numbers["moments"]

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_moments": self._moments}


def _adam(at: Point, moments: list[Tensor], step: int, lr: float) -> tuple[Tensor, list[Tensor]]:
    """Return the parameters after a step of Adam with torch's other defaults, and its moments."""
    first, second = moments or [torch.zeros_like(at.theta), torch.zeros_like(at.theta)]
    first = torch.lerp(first, at.gradient, 0.1)
    second = (0.999 * second).addcmul(at.gradient, at.gradient, value=0.001)
    scale = (second / (1 - 0.999**step)).sqrt().add(1e-8)
    return torch.addcdiv(at.theta, first, scale, value=-lr / (1 - 0.9**step)), [first, second]
