"""From options to a step optimizer: one interface for the methods and the baselines."""

from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from napts.decomposition import deal_parameters, partition_layers
from napts.experiment.options import AnyOptions, APTSWOptions, SchwarzOptions
from napts.optim import APTS, APTSA, APTSD, APTSW, NAPTS, NTR, TR, Baseline, StepRecord
from napts.optim.batch import Batch
from napts.optim.subdomains import Closure

if TYPE_CHECKING:
    from napts.parallel.pipeline import Pipeline

_TRUST_REGION = {"TR": TR, "NTR": NTR, "APTSD": APTSD}
_SCHWARZ = {"APTS": APTS, "APTSA": APTSA, "NAPTS": NAPTS}
_BASELINES = {"Adam": torch.optim.Adam, "SGD": torch.optim.SGD, "LBFGS": torch.optim.LBFGS}


class StepOptimizer(Protocol):
    """What the training loop needs of an optimizer.

    Attributes:
        last_step: Record of the latest step.
    """

    last_step: StepRecord | None

    def step(self, closure: Closure | Batch, /) -> float:
        """Take one step; the closure returns the loss and calls no ``backward()``."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain tensors and numbers."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """Load what `state_dict` returned."""
        ...


def build_optimizer(
    options: AnyOptions,
    model: "nn.Module | Pipeline",
    *,
    example_inputs: Tensor | None = None,
    seed: int = 0,
) -> StepOptimizer:
    """Make the optimizer of a spec.

    Args:
        options: The method and its options.
        model: The network, on its device and with its final type; or this rank's part of it.
        example_inputs: A few inputs of the network. With them the subdomains are balanced by
            counted operations, without them by numbers of parameters.
        seed: Seed with which parameters are dealt to subdomains.

    Raises:
        ValueError: The network cannot be cut into so many subdomains.
    """
    arguments = options.arguments()
    if isinstance(options, SchwarzOptions):
        if options.subdomains is None:
            raise ValueError("optimizer.subdomains: missing, allowed: integer >= 1")
        stages = model
        if isinstance(stages, nn.Module):
            stages = partition_layers(
                stages,
                options.subdomains,
                example_inputs=example_inputs,
                compile_local=options.compile_local,
            )
        return _SCHWARZ[options.method](stages, **arguments)
    if isinstance(options, APTSWOptions):
        if options.subdomains is None or not isinstance(model, nn.Module):
            raise ValueError("APTSW needs optimizer.subdomains, and a network in one process")
        sets = deal_parameters(model, options.subdomains, deal=options.deal, seed=seed)
        return APTSW(sets, **arguments)
    parameters = model.parameters() if isinstance(model, nn.Module) else model.groups()
    if options.method in _TRUST_REGION:
        return _TRUST_REGION[options.method](parameters, **arguments)
    return Baseline(_BASELINES[options.method](parameters, **arguments))
