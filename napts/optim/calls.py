"""How an optimizer's ``step`` may be called, and what is said to those who call it otherwise."""

import warnings

from napts.optim.batch import WRITE

LOSS_SCALING = (
    "GradScaler: these optimizers need no scaling of the loss and do not support it; write "
    f"{WRITE}, and for mixed precision use torch.autocast with bfloat16 inside the closure"
)
"""What a gradient scaler is told."""


def warn_of_gradients(method: str) -> None:
    """Warn that gradients in ``.grad`` are not used."""
    warnings.warn(
        f"{method}: the gradients found in .grad are not used, hence clipping them has no effect: "
        "the optimizer differentiates the loss itself and the radius bounds the step; leave out "
        "backward(), or clear them with optimizer.zero_grad()",
        UserWarning,
        stacklevel=6,
    )
