"""What all optimizers of the package share: described options, and a record per step."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch.optim import Optimizer

from napts.optim import calls, signature
from napts.optim.batch import Batch
from napts.optim.option import Amendment
from napts.optim.record import StepRecord
from napts.optim.signature import Definitions, describe
from napts.optim.subdomains import Closure


class DescribedOptimizer(Optimizer):
    """An optimizer whose options are defined once, and whose steps leave a record each.

    The signature, the documentation, the checks and the allowed entries of a spec all follow from
    the options.
    """

    needs: ClassVar[str] = "parameters"
    """The constructor's first argument: ``"parameters"``, ``"stages"`` or ``"sets"``."""

    pipeline_ok: ClassVar[bool] = True
    """Whether the network may be given in stages, as a :class:`napts.Pipeline`."""

    spread_ok: ClassVar[bool] = True
    """Whether the parameters may be spread over processes without changing the results."""

    evaluates: ClassVar[bool] = True
    """Whether the loss is evaluated as often as the method needs."""

    differentiates_twice: ClassVar[bool] = False
    """Whether the gradient of the loss is differentiated, as for Hessian-vector products."""

    shared_by: ClassVar[str | None] = None
    """The option with the number of parts of a step that processes may share, if there is one."""

    amended: ClassVar[Sequence[Amendment]] = ()
    """The method's notes on options that it shares with others."""

    defined: ClassVar[Definitions] = {}
    """Its options, which follow from the annotations of its constructor."""

    definitions: ClassVar[Definitions] = {}
    """Its options, with its notes on them."""

    last_step: StepRecord | None
    """Record of the latest iteration; ``None`` before the first one."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        describe(cls)

    def step(self, closure: Closure | Batch | None = None) -> float:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Take one step; the closure returns the loss and does not call ``backward()``."""
        raise NotImplementedError  # as in torch's Optimizer, which is no abstract class either

    def train_mode(self) -> None:
        """Do nothing: these methods are evaluated at the iterates of their steps."""

    def eval_mode(self) -> None:
        """Do nothing, as :meth:`train_mode`."""

    @classmethod
    def _completed(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return all options, checked; those not given have their defaults."""
        return signature.completed(cls.__name__, options, cls.definitions)

    def _common_options(self) -> dict[str, Any]:
        """Return the current options of the groups.

        Raises:
            ValueError: The groups differ.
        """
        first = {name: self.param_groups[0][name] for name in self.definitions}
        for index, group in enumerate(self.param_groups[1:], 1):
            for name, value in first.items():
                if group[name] != value:
                    raise ValueError(
                        f"Invalid parameter groups: {name} cannot differ between groups, found "
                        f"{value} in group 0 and {group[name]} in group {index}"
                    )
        return first

    def _check_trained(self, trained: Sequence[Any]) -> None:
        """Check that there is something to train.

        Raises:
            ValueError: No parameter requires a gradient.
        """
        if not trained:
            raise ValueError(
                f"{type(self).__name__}: no parameter requires a gradient, all are frozen"
            )

    @property
    def _step_supports_amp_scaling(self) -> bool:
        # What torch.amp.GradScaler.step looks up before it does anything.
        raise RuntimeError(calls.LOSS_SCALING)

    def _loaded(self, state_dict: dict[str, Any]) -> dict[str, Any] | None:
        """Let torch load a state; return the part on all parameters, as it was saved."""
        saved: list[Any] = []

        def keep(_optimizer: Optimizer, final: dict[str, Any]) -> None:
            saved.append(final["state"].get(0))

        # Torch casts what belongs to a parameter to its dtype and device, and here everything
        # hangs on one parameter.
        handle = self.register_load_state_dict_pre_hook(keep)
        try:
            super().load_state_dict(state_dict)
        finally:
            handle.remove()
        return saved[0]
