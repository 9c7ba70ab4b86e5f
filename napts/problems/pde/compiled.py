"""The training loss of an equation through `torch.compile`."""

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from napts.decomposition.compiled import Outermost, compiled, differentiated_once, explained
from napts.decomposition.interception import is_watched
from napts.problems.evaluation import evaluation_mode

if TYPE_CHECKING:
    from napts.problems.pde.equation import Pde


class CompiledLoss:
    """The loss of one problem, compiled when it is first evaluated.

    The model is an argument, so that nothing here keeps it alive. Copies compile anew.

    Attributes:
        plan: The derivatives that the residual has differentiated; see
            :class:`napts.problems.pde.derivatives.PlannedField`.
    """

    def __init__(self) -> None:
        self.plan: tuple[str, ...] = ()
        self._call: Any = None

    def __call__(self, problem: "Pde", model: nn.Module, points: Tensor) -> Tensor:
        """Return the loss, with its graph if gradients are enabled.

        Raises:
            ValueError: If calls of the model's layers are watched, or torch cannot compile the
                loss.
        """
        if is_watched(model):
            raise ValueError(
                f"{problem.title}: compile: found true, allowed: false with methods that cut the "
                "network into blocks of layers, which a compiled loss does not call one by one"
            )
        # With a graph even where none is wanted: one compilation, and the same bits.
        with torch.enable_grad():
            loss: Tensor = Outermost(model, partial(self.evaluate, problem, model))(points)
        if not torch.is_grad_enabled():
            return loss.detach()
        differentiated_once(loss, f"{problem.title}: compile", "a compiled loss")
        return loss

    def evaluate(self, problem: "Pde", model: nn.Module, points: Tensor) -> Tensor:
        """Return the loss with its graph; arguments and errors are those of a call."""
        if self._call is None:
            self.plan = _plan(problem, model, points[:1])
            # In one piece: parts of it could not be differentiated.
            self._call = compiled(_loss)
        with explained(f"{problem.title}: compile", "the loss"):
            return self._call(problem, model, points)

    def __reduce__(self) -> tuple[type["CompiledLoss"], tuple[()]]:
        return CompiledLoss, ()


def _plan(problem: "Pde", model: nn.Module, points: Tensor) -> tuple[str, ...]:
    """Return what a residual differentiates, determined by evaluating it."""
    with evaluation_mode(model):  # draws no random numbers, which would not be drawn again
        u, *at = problem.field(problem.solution(model), points)
        problem.residual(u, *at)
    return u.differentiated


def _loss(problem: "Pde", model: nn.Module, points: Tensor) -> Tensor:
    return problem.plain_loss(model, points)
