"""How an optimizer's ``step`` may be called, and what is said to those who call it otherwise."""

import warnings

from napts.optim.passes import Passes
from napts.optim.subdomains import Closure

_WRITE = "`optimizer.step(lambda: criterion(model(inputs), targets))`, without backward()"

LOSS_SCALING = (
    "GradScaler: these optimizers need no scaling of the loss and do not support it; write "
    f"{_WRITE}, and for mixed precision use torch.autocast with bfloat16 inside the closure"
)
"""What a gradient scaler is told."""


def required(closure: Closure | Passes | None) -> Closure | Passes:
    """Return the closure, if it is one.

    Raises:
        ValueError: If there is none.
    """
    if callable(closure) or isinstance(closure, Passes):
        return closure
    found = "none" if closure is None else type(closure).__name__
    raise ValueError(
        f"step() needs a closure that returns the loss, found {found}: write {_WRITE}; the "
        "optimizer evaluates and differentiates the loss itself"
    )


def warn_of_gradients(method: str) -> None:
    """Warn that gradients in ``.grad`` are not used."""
    warnings.warn(
        f"{method}: the gradients found in .grad are not used, hence clipping them has no effect: "
        "the optimizer differentiates the loss itself and the radius bounds the step; leave out "
        "backward(), or clear them with optimizer.zero_grad()",
        UserWarning,
        stacklevel=6,
    )
