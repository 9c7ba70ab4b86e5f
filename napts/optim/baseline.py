"""Adam, SGD and LBFGS in the same loop: a torch optimizer behind the interface of the methods."""

import math
from collections import defaultdict
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from napts.optim import calls, vectors
from napts.optim.batch import Batch, as_batch
from napts.optim.communicator import Share
from napts.optim.passes import BACKWARD_CALLED, require_graph, scalar_loss
from napts.optim.record import PassCounts, StepRecord
from napts.optim.replay import RandomState
from napts.optim.step_context import StepContext
from napts.optim.step_hooks import with_step_hooks
from napts.optim.subdomains import Closure


class Baseline(Optimizer):
    """Lets a torch optimizer take the closure of the trust-region methods and emit their record.

    It is an optimizer of torch itself: parameter groups, state and defaults are those of the one
    inside, so that a learning-rate scheduler on it drives that one. Step and state hooks that are
    registered on it run around those of the one inside.

    Args:
        optimizer: Any optimizer of ``torch.optim``; those that want a closure (LBFGS) get one
            that also differentiates. Every call of it is counted.
    """

    optimizer: Optimizer
    """The optimizer inside."""

    _context: StepContext

    last_step: StepRecord | None
    """Record of the latest step; ``None`` before the first one."""

    def __init__(self, optimizer: Optimizer) -> None:
        # Not torch's __init__, which would make groups and state of its own.
        self.__setstate__(
            {"optimizer": optimizer, "last_step": None, "_context": StepContext(replays=False)}
        )

    @property
    def param_groups(self) -> list[dict[str, Any]]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The parameter groups of the optimizer inside."""
        return self.optimizer.param_groups

    @property
    def state(self) -> defaultdict[Tensor, Any]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The state of the optimizer inside, by parameter."""
        return self.optimizer.state

    @property
    def defaults(self) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The default options of the optimizer inside."""
        return self.optimizer.defaults

    @property
    def _step_supports_amp_scaling(self) -> bool:
        # What torch.amp.GradScaler.step looks up before it does anything.
        raise RuntimeError(calls.LOSS_SCALING)

    @with_step_hooks
    def step(self, closure: Closure | Batch | None = None) -> float:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Perform one step.

        Args:
            closure: Computes and returns the loss; it does not call ``backward()``. For a network
                that is spread over ranks: what ``pipeline.batch(inputs, targets)`` returns.

        Returns:
            The loss before the step. If it, or its gradient, is NaN or infinite, no step is taken.
            If that happens at a later evaluation of LBFGS, the parameters are those before the
            step and its memory starts anew.

        Raises:
            ValueError: If there is no closure, it has called ``backward()`` or does not return a
                scalar loss; or if LBFGS is to run on several ranks, whose inner products it does
                not add.
            RuntimeError: If a step of :class:`napts.NAPTS` and its like runs in another thread at
                the same time and the closure draws random numbers, which that step repeats.
        """
        batch = as_batch(closure)
        if batch.communicator.size > 1 and self._searches:
            raise ValueError("LBFGS: found several ranks, allowed: one")
        evaluations = _Evaluations(self.optimizer, batch, self._context)
        finite = evaluations.next()
        if finite and self._searches:
            finite = self._search(evaluations)
        elif finite:
            self.optimizer.step()
        self.last_step = StepRecord(
            loss=evaluations.losses[0],
            accepted=finite,
            forwards=evaluations.counts.forwards,
            backwards=evaluations.counts.backwards,
        )
        return evaluations.losses[0]

    @property
    def _searches(self) -> bool:
        return isinstance(self.optimizer, torch.optim.LBFGS)

    def _search(self, evaluations: "_Evaluations") -> bool:
        """Let LBFGS take its step; undo it if it meets what is not finite."""
        parameters = evaluations.parameters
        before = [parameter.detach().clone() for parameter in parameters]
        self.optimizer.step(evaluations.further)  # pyright: ignore[reportArgumentType]
        if evaluations.finite:
            return True
        torch._foreach_copy_(parameters, before)
        self.optimizer.state.clear()
        return False

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Reset the gradients; see :meth:`torch.optim.Optimizer.zero_grad`."""
        self.optimizer.zero_grad(set_to_none)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters to the optimizer inside."""
        self.optimizer.add_param_group(param_group)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the optimizer inside."""
        for before in self._optimizer_state_dict_pre_hooks.values():
            before(self)
        state = self.optimizer.state_dict()
        for after in self._optimizer_state_dict_post_hooks.values():
            changed = after(self, state)
            state = state if changed is None else changed
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state into the optimizer inside."""
        for before in self._optimizer_load_state_dict_pre_hooks.values():
            changed = before(self, state_dict)
            state_dict = state_dict if changed is None else changed
        self.optimizer.load_state_dict(state_dict)
        for after in self._optimizer_load_state_dict_post_hooks.values():
            after(self)

    def __getstate__(self) -> dict[str, Any]:
        return {name: self.__dict__[name] for name in ("optimizer", "last_step", "_context")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        inner: Any = self.optimizer
        if self._searches and not hasattr(inner, "_params"):
            # What torch's copies of LBFGS lack.
            inner._params, inner._numel_cache = inner.param_groups[0]["params"], None


class _Evaluations:
    """The evaluations of one step: what they cost and whether all are finite.

    Attributes:
        counts: The passes so far.
        losses: The losses so far.
        finite: Whether losses and gradients so far are all finite.
        parameters: What is differentiated for.
    """

    def __init__(self, optimizer: Optimizer, batch: Batch, context: StepContext) -> None:
        self.counts = PassCounts()
        self.losses: list[float] = []
        self.finite = True
        groups = optimizer.param_groups
        self.parameters = [p for group in groups for p in group["params"] if p.requires_grad]
        self._optimizer, self._batch, self._context = optimizer, batch, context
        devices = vectors.cuda_devices(self.parameters[:1])
        self._before = RandomState(devices) if context.wonders else None
        self._ahead = False

    def next(self) -> bool:
        """Evaluate loss and gradient, which is left in ``.grad``; tell whether all is finite."""
        torch.clear_autocast_cache()  # autocast keeps converted weights, the present ones or not
        self._optimizer.zero_grad(set_to_none=True)
        differentiate = _by_passes if self._batch.communicator.spread else _by_closure
        loss, finite = differentiate(self._batch, self.parameters, self.counts)
        self.losses.append(loss)
        self.finite = self.finite and finite and math.isfinite(loss)
        self._ahead = True
        if self._before is not None:
            drawn = self._before.differs(RandomState(self._before.devices))
            self._context.note(draws=drawn)
        self._context.check_alone()
        return self.finite

    def further(self) -> float:
        """Return the loss: first what :meth:`next` has just found, then new ones."""
        if not self._ahead:
            self.next()
        self._ahead = False
        return self.losses[-1]


def _by_closure(batch: Batch, parameters: list[Tensor], counts: PassCounts) -> tuple[float, bool]:
    """Return the loss, and whether the gradient is finite, which is left in ``.grad``."""
    with torch.enable_grad():
        loss = scalar_loss(batch())
        if any(parameter.grad is not None for parameter in parameters):
            raise ValueError(BACKWARD_CALLED)
        require_graph(loss)
        loss.backward()
    counts.forwards += 1
    counts.backwards += 1
    value, spoilt = vectors.to_host([loss.detach(), _spoilt(parameters)])
    return value, spoilt == 0.0


def _by_passes(batch: Batch, parameters: list[Tensor], counts: PassCounts) -> tuple[float, bool]:
    """The same on several ranks, all of which give the same answer."""
    passes = batch.passes(parameters, counts)
    loss, gradients = passes.linearise(None)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    shares: list[Share] = [(loss, "sum"), (_spoilt(parameters).reshape(1), "max")]
    value, spoilt = passes.communicator.collect(shares)
    return value, spoilt == 0.0


def _spoilt(parameters: list[Tensor]) -> Tensor:
    """Return a number that is 0 where all gradients are finite, else 1 or NaN."""
    found = [p.grad for p in parameters if p.grad is not None]
    if not found:
        return torch.zeros((), device=parameters[0].device)
    like = found[0]
    if like.dtype.is_floating_point and all(_plain(g, like) for g in found):
        # What looks for overflow in mixed precision; a scale of 1 leaves the gradients as they are.
        spoilt, one = torch.zeros((), device=like.device), torch.ones((), device=like.device)
        torch._amp_foreach_non_finite_check_and_unscale_(found, spoilt, one)
        return spoilt
    found = [g.coalesce().values() if g.is_sparse else g for g in found]
    total = torch.zeros((), dtype=torch.float64, device=parameters[0].device)
    for norm in (torch.linalg.vector_norm(g, math.inf) for g in found if g.numel()):
        whole: Any = norm.full_tensor() if hasattr(norm, "full_tensor") else norm  # of a DTensor
        total += 0.0 * whole.to(total)
    return total


def _plain(gradient: Tensor, like: Tensor) -> bool:
    return (
        type(gradient) is Tensor
        and not gradient.is_sparse
        and gradient.dtype == like.dtype
        and gradient.device == like.device
    )
