"""The result of an evaluation: the mean loss and named numbers, checked."""

import math
import numbers
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

from torch import Tensor, nn

METRIC_NAME = re.compile(r"[a-z][a-z0-9_]*")
"""Names of metrics become columns of records."""


class Evaluation(dict[str, float]):
    """The mean loss of a set and its metrics by name, also available as attributes."""

    __slots__ = ()

    def __getattr__(self, name: str) -> float:
        if name not in self:
            raise AttributeError(name)
        return self[name]


_ROUNDING = 1e-5
"""By how much a mean of single-precision numbers in [0, 1] may leave this interval."""


def checked_loss(where: str, loss: Any) -> Tensor:
    """Return a problem's loss of a batch, checked.

    Args:
        where: Class and method, for messages.
        loss: What the method returned.

    Raises:
        ValueError: If it is not a real tensor with one number and without dimensions.
    """
    if not isinstance(loss, Tensor):
        raise ValueError(f"{where}: found {type(loss).__name__}, allowed: a tensor with one number")
    if loss.dim() or not loss.is_floating_point():
        kind = str(loss.dtype).removeprefix("torch.")
        raise ValueError(
            f"{where}: found a tensor of {kind} of shape {tuple(loss.shape)}, allowed: one real "
            "number of shape (), such as a mean"
        )
    return loss


def checked(
    title: str,
    primary: str,
    loss: float,
    metrics: Mapping[str, Any],
    fractions: Collection[str] = (),
) -> Evaluation:
    """Return loss and metrics as plain numbers.

    Args:
        title: Name of the problem's class, for messages.
        primary: Name of the primary metric.
        loss: Mean loss of the set.
        metrics: What the problem's ``metrics`` returned.
        fractions: Names of the metrics that lie in [0, 1].

    Raises:
        ValueError: If a metric has no valid name, is not a finite number, or is a fraction outside
            [0, 1], or if the primary one is missing. If the loss is not finite, the metrics need
            not be finite either.
    """
    if not isinstance(metrics, Mapping):
        _refuse(title, "", type(metrics).__name__, "a dictionary of named numbers")
    found = Evaluation(loss=loss)
    for name, value in metrics.items():
        if not isinstance(name, str) or not METRIC_NAME.fullmatch(name):
            _refuse(title, "", f"the name {name!r}", "names of a-z, 0-9 and _, a letter first")
        if name == "loss":
            _refuse(
                title, "", "the name 'loss'", "other names, since this one is the mean of loss()"
            )
        found[name] = number = _number(title, name, value)
        if math.isfinite(loss) and not math.isfinite(number):
            _refuse(title, name, str(number), "finite numbers")
        if name in fractions and 0.5 + _ROUNDING < abs(number - 0.5) < math.inf:
            allowed = "numbers in [0, 1], since it is one of the fractions"
            _refuse(title, name, f"{number:g}", allowed)
    if primary not in found:
        names = ", ".join(found)
        raise ValueError(f"{title}.primary: found {primary!r}, allowed: {names}, the metrics")
    return found


def _number(title: str, name: str, value: Any) -> float:
    if isinstance(value, Tensor) and value.numel() == 1 and not value.is_complex():
        return float(value.item())
    if isinstance(value, numbers.Real):  # NumPy's scalars are registered as such
        return float(value)
    found = type(value).__name__
    if hasattr(value, "shape"):
        found += f" of shape {tuple(value.shape)}"
    return _refuse(title, name, found, "a number, or a tensor with one element")


def _refuse(title: str, metric: str, found: str, allowed: str) -> NoReturn:
    where = f", metric {metric!r}" if metric else ""
    raise ValueError(f"{title}.metrics{where}: found {found}, allowed: {allowed}")


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode, and restore its training flags afterwards.

    Args:
        model: The network; flags of all submodules are kept.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
