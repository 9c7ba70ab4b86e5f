"""The training loss of an equation through `torch.compile`."""

from functools import partial
from types import FunctionType
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from napts.decomposition.interception import is_watched
from napts.problems.evaluation import evaluation_mode

if TYPE_CHECKING:
    from napts.problems.pde.equation import Pde

BACKEND = "inductor"
"""The compiler; tests put a quicker one here."""


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
            loss: Tensor = _Whole(self, problem, model)(points)
        if not torch.is_grad_enabled():
            return loss.detach()
        if loss.requires_grad:
            loss.register_hook(partial(_check_once, problem.title))
        return loss

    def evaluate(self, problem: "Pde", model: nn.Module, points: Tensor) -> Tensor:
        """Return the loss with its graph; arguments and errors are those of a call."""
        if self._call is not None:
            return self._call(problem, model, points)
        self.plan = _plan(problem, model, points[:1])
        # What cannot be compiled in one piece is refused: parts of it could not be differentiated.
        call = torch.compile(_own(_loss), fullgraph=True, dynamic=False, backend=BACKEND)
        try:
            loss = call(problem, model, points)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            said = " ".join(str(error).split("\n")[:2])
            raise ValueError(
                f"{problem.title}: compile: found true, allowed: false, since torch cannot compile "
                f"the loss: {said}"
            ) from error
        self._call = call
        return loss

    def __reduce__(self) -> tuple[type["CompiledLoss"], tuple[()]]:
        return CompiledLoss, ()


class _Whole(nn.Module):
    """Calls a network inside a compiled function.

    Optimizers watch which modules are called, to keep their buffers, until they have seen the
    outermost one, which contains all others. That is this one, so the compiled function finds no
    hooks.
    """

    def __init__(self, loss: CompiledLoss, problem: "Pde", model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self._loss, self._problem = loss, problem

    def forward(self, points: Tensor) -> Tensor:
        return self._loss.evaluate(self._problem, self.model, points)


def _plan(problem: "Pde", model: nn.Module, points: Tensor) -> tuple[str, ...]:
    """Return what a residual differentiates, determined by evaluating it."""
    with evaluation_mode(model):  # draws no random numbers, which would not be drawn again
        u, *at = problem.field(problem.solution(model), points)
        problem.residual(u, *at)
    return u.differentiated


def _check_once(title: str, _gradient: Tensor) -> None:
    """Check that the backward pass calling this will not be differentiated again."""
    if torch.is_grad_enabled():
        raise ValueError(
            f"{title}: compile: found true, allowed: false with methods that take second "
            "derivatives by the parameters, which a compiled loss does not have"
        )


def _loss(problem: "Pde", model: nn.Module, points: Tensor) -> Tensor:
    return problem.plain_loss(model, points)


def _own(function: Any) -> FunctionType:
    """Return a copy of a function with a code object of its own.

    By code object, torch counts how often it has compiled, up to a limit, and keeps what it has
    compiled as long as the object lives.
    """
    function = cast(FunctionType, function)
    return FunctionType(function.__code__.replace(), function.__globals__, function.__name__)
