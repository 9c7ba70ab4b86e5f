"""What surrounds an optimizer's step: no gradients, its context, hooks, a profiler's range."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch.optim import Optimizer
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

_Step = TypeVar("_Step", bound=Callable[..., Any])


def with_step_hooks(step: _Step) -> _Step:
    """Make an optimizer's ``step`` behave as torch's own wrappers make it, without gradients.

    The optimizer's ``_context``, a :class:`napts.optim.step_context.StepContext`, is entered.

    Torch wraps every ``step`` in a range for its profiler. That takes 40 us even if no profiler
    runs, as much as a small network's vector work. Here the wrapper is called only while there is a
    profiler or a hook.
    """

    def without_gradients(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        before = torch.is_grad_enabled()
        try:
            torch.set_grad_enabled(False)
            with self._context:  # pyright: ignore[reportAttributeAccessIssue]
                return step(self, *args, **kwargs)
        finally:
            torch.set_grad_enabled(before)

    observed = Optimizer.profile_hook_step(without_gradients)

    @functools.wraps(step)
    def wrapper(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        return (observed if _is_observed(self) else without_gradients)(self, *args, **kwargs)

    setattr(wrapper, "hooked", True)  # noqa: B010, torch asks for it
    return wrapper  # pyright: ignore[reportReturnType]


def _is_observed(of: Optimizer) -> bool:
    return bool(
        torch.autograd.profiler._is_profiler_enabled
        or of._optimizer_step_pre_hooks
        or of._optimizer_step_post_hooks
        or _global_optimizer_pre_hooks
        or _global_optimizer_post_hooks
    )
