"""A method as the harness sees it: its optimizer, its options and its capabilities."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from napts.decomposition import (
    deal_parameters,
    partition_layers,
    residual_hierarchy,
    split_layers,
)
from napts.experiment.methods.option_models import MethodOptions
from napts.experiment.methods.scheduled import Scheduled
from napts.experiment.methods.step_optimizer import StepOptimizer
from napts.optim import Baseline
from napts.optim.described import DescribedOptimizer

if TYPE_CHECKING:
    from napts.parallel.pipeline import Pipeline


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a method can and cannot do; class attributes of its optimizer, if it has them.

    Attributes:
        needs: What its constructor takes first: ``"parameters"``, layer blocks (``"stages"``, from
            :func:`napts.partition_layers`), parameter sets (``"sets"``, from
            :func:`napts.deal_parameters`), sets of layers (``"layers"``, from
            :func:`napts.split_layers`), or networks of several depths (``"hierarchy"``, from
            :func:`napts.residual_hierarchy`).
        pipeline_ok: Whether it takes a network that is given in stages, as with ``[pipeline]``.
        shared_by: The option for the number of parts into which a batch's work is divided and which
            several processes may share: ``"subdomains"``, ``"shards"``, or ``None``.
        spread_ok: Whether its results stay the same when the parameters are spread over several
            processes. An optimizer that takes norms or inner products over all of them must be
            written for that.
        channels_last_ok: Whether it takes parameters in the memory format ``channels_last``.
        evaluates: Whether it evaluates the loss itself, as often as it needs, rather than taking
            gradients as given.
        differentiates_twice: Whether it differentiates the gradient of the loss.
    """

    needs: Literal["parameters", "stages", "sets", "layers", "hierarchy"] = "parameters"
    pipeline_ok: bool = True
    shared_by: Literal["subdomains", "shards"] | None = None
    spread_ok: bool = False
    channels_last_ok: bool = True
    evaluates: bool = False
    differentiates_twice: bool = False

    @classmethod
    def of(cls, optimizer: Callable[..., Optimizer]) -> "Capabilities":
        """Return the capabilities of an optimizer.

        Args:
            optimizer: Its class, or what makes it.
        """
        if optimizer in _OF_TORCH:
            return _OF_TORCH[optimizer]
        found: dict[str, Any] = {
            field.name: getattr(optimizer, field.name, field.default) for field in fields(cls)
        }
        return cls(**found)


_OF_TORCH: dict[Any, Capabilities] = {
    torch.optim.Adam: Capabilities(spread_ok=True),
    torch.optim.AdamW: Capabilities(spread_ok=True),
    torch.optim.SGD: Capabilities(spread_ok=True),
    # It keeps its gradients as flat vectors and takes inner products of them.
    torch.optim.LBFGS: Capabilities(channels_last_ok=False, evaluates=True),
}


@dataclass(frozen=True)
class Method:
    """A method that a spec can name.

    Attributes:
        name: Its name.
        optimizer: Its class, or what makes an optimizer from parameters and keyword arguments. Any
            torch optimizer works.
        options: Model of its options.
        capabilities: What it can and cannot do.
        registered_by: Name of the module that registered it.
    """

    name: str
    optimizer: Callable[..., Optimizer]
    options: type[MethodOptions]
    capabilities: Capabilities
    registered_by: str = __name__

    @property
    def modules(self) -> set[str]:
        """Names of the modules that define and register it."""
        return {self.optimizer.__module__, self.registered_by}

    def build(
        self,
        options: MethodOptions,
        model: "nn.Module | Pipeline",
        *,
        example_inputs: Any = None,
        seed: int = 0,
    ) -> StepOptimizer:
        """Make the optimizer of a run.

        Args:
            options: The options, an instance of :attr:`options`.
            model: The network, on its device and with its final type; or this rank's part of it.
            example_inputs: A few inputs of the network. With them, the subdomains are balanced by
                counted operations; without them, by numbers of parameters.
            seed: Seed with which parameters are dealt to subdomains.

        Raises:
            ValueError: The network cannot be cut into that many subdomains.
        """
        first = self._first_argument(options, model, example_inputs, seed)
        made = self._made(first, options)
        optimizer = made if isinstance(made, DescribedOptimizer) else Baseline(made)
        if options.scheduler is None:
            return optimizer
        if not isinstance(model, nn.Module):
            raise ValueError("optimizer.scheduler: needs the network in one process")
        return Scheduled(optimizer, options.scheduler)

    def _made(self, first: Any, options: MethodOptions) -> Optimizer:
        """Return the optimizer, made on its first argument."""
        return self.optimizer(first, **options.arguments())

    def _first_argument(
        self, options: Any, model: "nn.Module | Pipeline", example_inputs: Tensor | None, seed: int
    ) -> Any:
        """Return what the optimizer's constructor takes first."""
        needs = self.capabilities.needs
        if needs == "parameters":
            return model.parameters() if isinstance(model, nn.Module) else model.groups()
        if needs == "hierarchy":
            if not isinstance(model, nn.Module):
                raise ValueError(f"{self.name} needs a network in one process")
            try:
                return residual_hierarchy(model, options.levels, transfer=options.transfer)
            except ValueError as error:
                raise ValueError(f"optimizer.{error}") from error
        if options.subdomains is None:
            raise ValueError("optimizer.subdomains: missing, allowed: integer >= 1")
        if needs == "stages":
            if not isinstance(model, nn.Module):
                return model
            return partition_layers(
                model,
                options.subdomains,
                example_inputs=example_inputs,
                compile_local=options.compile_local,
            )
        if not isinstance(model, nn.Module):
            raise ValueError(f"{self.name} needs a network in one process")
        if needs == "layers":
            return split_layers(
                model, options.subdomains, split=options.split, overlap=options.overlap
            )
        return deal_parameters(model, options.subdomains, deal=options.deal, seed=seed)
