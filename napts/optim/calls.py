"""How an optimizer's ``step`` may be called, and the messages for other calls."""

import inspect
import warnings

import torch
from torch.optim import Optimizer

from napts.optim.batch import WRITE

LOSS_SCALING = (
    "GradScaler: these optimizers need no scaling of the loss and do not support it; write "
    f"{WRITE}, and for mixed precision use torch.autocast with bfloat16 inside the closure"
)
"""The message for a gradient scaler."""


def warn_of_gradients(method: str) -> None:
    """Warn that gradients in ``.grad`` are not used."""
    warnings.warn(
        f"{method}: the gradients found in .grad are not used, so clipping them has no effect: "
        "the optimizer differentiates the loss itself and the radius bounds the step; leave out "
        "backward(), or clear them with optimizer.zero_grad()",
        UserWarning,
        stacklevel=6,
    )


SEPARABLE = frozenset(
    {"ASGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam"}
    | {"RMSprop", "Rprop", "SGD"}
)
"""Torch optimizers that treat every number separately, so that each rank may have its own."""

WATCH = {
    "never": "nothing",
    "searches": "copies",
    "evaluates": "values",
    "unknown": "values",
    "again": "values",
    "once": "versions",
}
"""How closely parameters are watched, by how a torch optimizer calls its closure: not at all, or
only to learn what is known already; like LBFGS, first at the current point; wherever it likes; not
known yet; more than once, or at another point; once, at the current point."""


def kind_of(optimizer: Optimizer) -> str:
    """Return how an optimizer calls its closure, one of :data:`WATCH`, as known before any step."""
    kind = type(optimizer)
    if isinstance(optimizer, torch.optim.LBFGS):
        return "searches"
    if getattr(torch.optim, kind.__name__, None) is kind:
        return "never"  # torch's own need none: they only call it first
    told = getattr(kind, "closure_calls", None)
    if told is not None:
        return told
    parameters = list(inspect.signature(optimizer.step).parameters.values())
    if not parameters:
        return "never"
    first = parameters[0]
    required = first.default is first.empty and first.kind is first.POSITIONAL_OR_KEYWORD
    return "evaluates" if required or first.kind is first.POSITIONAL_ONLY else "unknown"


def has_modes(optimizer: Optimizer) -> bool:
    """Return whether an optimizer has ``train()`` and ``eval()``."""
    return all(callable(getattr(optimizer, name, None)) for name in ("train", "eval"))


def name_of(optimizer: Optimizer) -> str:
    """Return the name of an optimizer's class."""
    return type(optimizer).__name__
