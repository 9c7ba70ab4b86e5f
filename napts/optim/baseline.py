"""Any torch optimizer in the same loop, with the interface and the record of the methods."""

import contextlib
from collections import defaultdict
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from napts.optim import calls
from napts.optim.batch import Batch, as_batch
from napts.optim.evaluations import Evaluations, NotFiniteError
from napts.optim.record import StepRecord
from napts.optim.step_context import StepContext
from napts.optim.step_hooks import with_step_hooks
from napts.optim.subdomains import Closure


class Baseline(Optimizer):
    """Lets a torch optimizer take the closure of the trust-region methods and emit their record.

    It is itself a torch optimizer. Parameter groups, state and defaults are those of the optimizer
    inside, so a learning-rate scheduler on the wrapper drives that one. Step and state hooks that
    are registered on the wrapper run around those of the optimizer inside.

    How the optimizer inside takes its closure follows from the signature of its ``step``:

    - If there is no closure, or an optional one, it finds loss and gradient evaluated, as after
      ``loss.backward()``. If it calls the closure, it gets these first; if it has moved the
      parameters by then, or calls the closure again, the loss is evaluated and differentiated
      again.
    - If the closure is required, it evaluates whenever it likes.

    Every evaluation is counted. Torch's own optimizers are known by name and are not watched.

    Args:
        optimizer: Any optimizer of ``torch.optim``, or a class derived from it.
    """

    optimizer: Optimizer
    """The optimizer inside."""

    _context: StepContext
    _calls: str
    _training: bool | None

    last_step: StepRecord | None
    """Record of the latest step; ``None`` before the first one."""

    def __init__(self, optimizer: Optimizer) -> None:
        # Not torch's __init__, which would make groups and state of its own.
        self.__setstate__(
            {
                "optimizer": optimizer,
                "last_step": None,
                "_context": StepContext(replays=False),
                "_calls": calls.kind_of(optimizer),
                "_training": False if calls.has_modes(optimizer) else None,
            }
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
            The first loss evaluated, nearly always the one before the step. If it or its gradient
            is NaN or infinite, no step is taken. If that happens at a later evaluation, as in
            LBFGS, the parameters are put back to those before the step and the optimizer's memory
            starts anew.

        Raises:
            ValueError: If there is no closure, if it has called ``backward()`` or does not return
                a scalar loss; or if an optimizer that looks at all parameters at once is used on
                several ranks, whose inner products it does not add up.
            RuntimeError: If a step of a trust-region method such as :class:`napts.NAPTS` runs in
                another thread at the same time and the closure draws random numbers, which that
                step replays; or if an optimizer that requires a closure does not call it.
        """
        batch = as_batch(closure)
        if batch.communicator.size > 1:
            self._check_separable()
        evaluations = Evaluations(self.optimizer, batch, self._context, calls.WATCH[self._calls])
        finite = self._step_with(evaluations)
        self.last_step = StepRecord(
            loss=evaluations.losses[0],
            accepted=finite,
            forwards=evaluations.counts.forwards,
            backwards=evaluations.counts.backwards,
        )
        return evaluations.losses[0]

    def _step_with(self, evaluations: Evaluations) -> bool:
        """Let the optimizer inside take its step; return whether all was finite."""
        if self._calls == "evaluates":
            evaluations.leaves = True
            return self._evaluate(evaluations)
        if not evaluations.next():
            return False
        if self._calls == "never":
            self.optimizer.step()
            return True
        if self._calls == "searches":
            return self._evaluate(evaluations)
        evaluations.leaves = self._calls != "once"
        finite = self._evaluate(evaluations)
        self._calls = "again" if evaluations.again else "once"
        return finite

    def _evaluate(self, evaluations: Evaluations) -> bool:
        """Take a step that may evaluate; undo it if it is not finite and that was prepared for."""
        with contextlib.suppress(NotFiniteError):
            self.optimizer.step(evaluations.further)  # pyright: ignore[reportCallIssue, reportArgumentType]
        if not evaluations.losses:
            raise RuntimeError(
                f"{calls.name_of(self.optimizer)}: step() requires a closure but does not call it"
            )
        if not evaluations.finite and evaluations.before:
            evaluations.restore()
            self.optimizer.state.clear()
        return evaluations.finite

    def _check_separable(self) -> None:
        name = calls.name_of(self.optimizer)
        if (
            getattr(torch.optim, name, None) is not type(self.optimizer)
            or name not in calls.SEPARABLE
        ):
            raise ValueError(f"{name}: found several ranks, allowed: one")

    def train_mode(self) -> None:
        """Put the parameters where the next step starts; see :meth:`eval_mode`."""
        self._switch(training=True)

    def eval_mode(self) -> None:
        """Put the parameters where the network should be evaluated.

        This is for optimizers with ``train()`` and ``eval()``, which keep an average of the
        iterates, such as the schedule-free ones. With others, or before the first step, nothing
        happens. Going there and back may round the parameters.
        """
        self._switch(training=False)

    def _switch(self, *, training: bool) -> None:
        if self._training is not None:
            inner: Any = self.optimizer
            (inner.train if training else inner.eval)()
            self._training = training

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
        if self._training is not None:
            state = {**state, "training": self._training}
        for after in self._optimizer_state_dict_post_hooks.values():
            changed = after(self, state)
            state = state if changed is None else changed
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state into the optimizer inside."""
        for before in self._optimizer_load_state_dict_pre_hooks.values():
            changed = before(self, state_dict)
            state_dict = state_dict if changed is None else changed
        if self._training is not None and "training" in state_dict:
            # The mode may be an attribute. Without a state no parameter moves.
            for inner in getattr(self.optimizer, "optimizers", (self.optimizer,)):
                inner.state.clear()
            self._switch(training=state_dict["training"])
            state_dict = {k: value for k, value in state_dict.items() if k != "training"}
        self.optimizer.load_state_dict(state_dict)
        for after in self._optimizer_load_state_dict_post_hooks.values():
            after(self)

    def __getstate__(self) -> dict[str, Any]:
        names = ("optimizer", "last_step", "_context", "_calls", "_training")
        return {name: self.__dict__[name] for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        inner: Any = self.optimizer
        if isinstance(inner, torch.optim.LBFGS) and not hasattr(inner, "_params"):
            # What torch's copies of LBFGS lack.
            inner._params, inner._numel_cache = inner.param_groups[0]["params"], None
