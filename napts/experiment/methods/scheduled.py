"""Learning-rate schedulers of torch or of installed packages, driven by the training loop."""

import inspect
from inspect import Parameter
from typing import Any

from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from napts.exits import guarded
from napts.experiment.methods.installed import fitted, load_class, one_line
from napts.experiment.methods.path_options import SchedulerOptions
from napts.experiment.methods.step_optimizer import StepOptimizer
from napts.optim import StepRecord
from napts.optim.batch import Batch
from napts.optim.subdomains import Closure

_KEY = "optimizer.scheduler"


class Scheduled:
    """An optimizer whose learning rate follows a scheduler; the state has both.

    For the trust-region methods the learning rate is a factor on the largest radius.

    Args:
        optimizer: The optimizer.
        options: The scheduler and when it is called.

    Raises:
        ValueError: The scheduler is not installed, refuses its arguments, keeps state that a
            checkpoint cannot hold, or would have to follow a metric after every step.
    """

    def __init__(self, optimizer: StepOptimizer, options: SchedulerOptions) -> None:
        found = load_class(options.method, LRScheduler, key=f"{_KEY}.method")
        arguments = fitted(found, options.keywords(), path=options.method, key=_KEY)
        self.optimizer = optimizer
        self._every = options.every
        try:
            with guarded():
                self._scheduler: Any = found(optimizer, **arguments)  # pyright: ignore[reportCallIssue]
        except Exception as error:  # whatever a foreign constructor raises
            raise ValueError(
                f"{_KEY}: {options.method} refuses its arguments: {one_line(error)}"
            ) from error
        first = next(iter(inspect.signature(self._scheduler.step).parameters.values()), None)
        self._follows = first is not None and first.default is Parameter.empty
        if self._follows and options.every == "step":
            raise ValueError(
                f"{_KEY}.every: found step, allowed: epoch, since {options.method} follows the "
                "validation loss"
            )
        kept = _not_plain(self._scheduler.state_dict())
        if kept is not None:
            raise ValueError(
                f"{_KEY}.method: {options.method} keeps {kept}, which a checkpoint cannot hold, "
                "allowed: schedulers whose state is numbers, strings and lists"
            )

    @property
    def last_step(self) -> StepRecord | None:
        """Record of the latest step."""
        return self.optimizer.last_step

    def step(self, closure: Closure | Batch, /) -> float:
        """Take one step, and advance the schedule if it goes by steps."""
        loss = self.optimizer.step(closure)
        if self._every == "step":
            self._scheduler.step()
        return loss

    def finish_epoch(self, validation_loss: float) -> None:
        """Advance the schedule if it goes by epochs.

        Args:
            validation_loss: The metric for schedulers that follow one, such as ReduceLROnPlateau.
        """
        if self._every == "epoch":
            self._scheduler.step(*([validation_loss] if self._follows else []))

    def train_mode(self) -> None:
        """See :meth:`napts.optim.Baseline.train_mode`."""
        self.optimizer.train_mode()

    def eval_mode(self) -> None:
        """See :meth:`napts.optim.Baseline.eval_mode`."""
        self.optimizer.eval_mode()

    def state_dict(self) -> dict[str, Any]:
        """Return the states of both as plain tensors and numbers."""
        return {**self.optimizer.state_dict(), "scheduler": self._scheduler.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """Load what :meth:`state_dict` returned."""
        own = {name: value for name, value in state_dict.items() if name != "scheduler"}
        self.optimizer.load_state_dict(own)
        self._scheduler.load_state_dict(state_dict["scheduler"])


def _not_plain(value: Any) -> str | None:
    """Return the name of a type in nested data that a checkpoint cannot hold, or None."""
    if value is None or isinstance(value, (bool, int, float, str, Tensor)):
        return None
    items = value.values() if isinstance(value, dict) else value
    if not isinstance(value, (dict, list, tuple, set)):
        return type(value).__name__
    return next((found for found in map(_not_plain, items) if found is not None), None)
