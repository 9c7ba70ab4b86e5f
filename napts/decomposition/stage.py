"""One block of layers, as a module that runs alone and as a set of parameters."""

from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import torch
from torch import nn


class _Run(Protocol):
    def __call__(self, entry: Any, /) -> Any: ...


@dataclass(eq=False)
class Stage:
    """A contiguous block of layers ``B_d``; one subdomain.

    Attributes:
        module: Runs the block alone; shares its layers with the model. ``None`` if the model was
            cut by hand or makes tensors in its forward: then its own code runs the block.
        parameter_list: The parameters of the block, including frozen ones.
        names: Qualified names of the block's modules, for display.
        mode: Training mode that a function inside was traced with; ``None`` if there is none.
        compile_local: Whether local passes run compiled.
    """

    module: nn.Module | None
    parameter_list: list[nn.Parameter]
    names: list[str]
    mode: bool | None = None
    compile_local: bool = False
    _compiled: _Run | None = field(default=None, repr=False)

    def parameters(self) -> list[nn.Parameter]:
        """Return the block's parameters that require a gradient."""
        return [p for p in self.parameter_list if p.requires_grad]

    def alone(self) -> nn.Module:
        """Return the module that runs the block alone.

        Raises:
            ValueError: If there is none.
        """
        if self.module is None:
            raise ValueError(
                "a model that is cut by hand, or makes tensors in its forward, cannot be spread "
                "over ranks, allowed: partition_layers(model, n_subdomains) of a model that can be "
                "traced"
            )
        return self.module

    @property
    def runner(self) -> _Run:
        """What runs the block alone; the module, or its compiled form, made on first use."""
        module = self.alone()
        if not self.compile_local:
            return module
        if self._compiled is None:
            # Random numbers as without compilation, so that masks are those of the captured pass;
            # on CUDA one graph for each shape.
            options: dict[str, Any] = {
                "fallback_random": True,
                "triton.cudagraphs": torch.cuda.is_available(),
            }
            self._compiled = cast(_Run, torch.compile(module, dynamic=False, options=options))
        return self._compiled

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_compiled": None}
