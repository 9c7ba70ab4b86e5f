"""The names we use that are not part of torch's documented interface, all in one place.

Each is used only because torch has no other way, or one that takes several times as long in every
step. A later version may rename any of them: importing the package then fails with one line that
says which, rather than a step silently computing something else.
"""

import sys
from collections.abc import Sequence
from typing import Any

import torch

NAMES = (
    # Many tensors in one call; the vector work of every step.
    *(f"torch._foreach_{name}" for name in ("add", "add_", "copy_", "div_", "lerp_", "mul")),
    *(f"torch._foreach_{name}" for name in ("mul_", "norm", "sub")),
    "torch._C._nn.flatten_dense_tensors",
    # The kernel of fused Adam, and what looks for overflow in gradients.
    "torch._fused_adam_",
    "torch._amp_foreach_non_finite_check_and_unscale_",
    # Whether anything has to be told of a step, and who is told of a module's call.
    "torch.autograd.profiler._is_profiler_enabled",
    "torch.optim.optimizer._global_optimizer_post_hooks",
    "torch.optim.optimizer._global_optimizer_pre_hooks",
    "torch.nn.modules.module._global_forward_pre_hooks",
    *(f"torch.optim.Optimizer._optimizer_step_{when}_hooks" for when in ("pre", "post")),
    *(f"torch.optim.Optimizer._optimizer_state_dict_{when}_hooks" for when in ("pre", "post")),
    *(f"torch.optim.Optimizer._optimizer_load_state_dict_{w}_hooks" for w in ("pre", "post")),
    # What a module is made of, and what its call looks up.
    *(f"torch.nn.Module.{name}" for name in ("_buffers", "_modules", "_parameters")),
    *(f"torch.nn.Module.{name}" for name in ("_call_impl", "_compiled_call_impl")),
    "torch.nn.parallel.DistributedDataParallel._active_ddp_module",
    "torch.nn.parallel.DistributedDataParallel._sync_buffers",
    # Tensors: how often written to, whether inside of a transform, and nested containers of them.
    "torch.Tensor._version",
    "torch._C._functorch.is_functorch_wrapped_tensor",
    "torch.utils._pytree",
)
"""All of them, by their full names; instance attributes by the names of their classes."""


def check(names: Sequence[str] = NAMES) -> None:
    """Check that torch has the names.

    Raises:
        ImportError: If one is missing.
    """
    for name in names:
        if not _exists(name):
            raise ImportError(
                f"torch {torch.__version__} has no {name}, which napts uses, allowed: a version "
                "of torch that napts was tested with (2.9 to 2.15), or a newer napts"
            )


def _exists(name: str) -> bool:
    holder, _, last = name.rpartition(".")
    try:
        found = _resolved(holder)
    except AttributeError:
        return False
    # Attributes of instances are annotated in their class.
    return hasattr(found, last) or last in getattr(found, "__annotations__", {})


def _resolved(path: str) -> Any:
    """Return a module of torch, or a class in one.

    Raises:
        AttributeError: If there is no such name.
    """
    found: Any = torch
    parts = path.split(".")
    for index, part in enumerate(parts[1:], start=2):
        # First the module of that name: torch.optim hides some of its own.
        module = sys.modules.get(".".join(parts[:index]))
        found = getattr(found, part) if module is None else module
    return found


check()
