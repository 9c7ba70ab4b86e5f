"""Layer blocks with cached boundary data: the inexact subdomains of NAPTS, section 2.1."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Self, cast, overload

import torch
from torch import Tensor, fx, nn
from torch.utils.hooks import RemovableHandle

from napts.decomposition.cuts import Unit, extract
from napts.optim.gradients import gradients
from napts.optim.replay import RandomState
from napts.optim.subdomains import Closure, Part
from napts.optim.vectors import cuda_devices

Run = Callable[[Tensor], Tensor]


@dataclass(slots=True)
class _Cache:
    """What a stage keeps of the captured pass.

    Attributes:
        entry: Input ``a_{d-1}``, without its graph.
        random: State of the random generators when the stage began.
        output: Output ``a_d`` with its graph, until the downstream gradient is known.
        version: Version of that output when it was caught.
        downstream: ``delta_d``, the gradient of the loss at the output.
    """

    entry: Tensor | None = None
    random: RandomState | None = None
    output: Tensor | None = None
    version: int = 0
    downstream: Tensor | None = None


@dataclass(eq=False)
class Stage:
    """A contiguous block of layers ``B_d``; one subdomain.

    Attributes:
        module: Runs the block alone; shares its layers with the model.
        parameter_list: The parameters of the block.
        exit_module: The module of the model whose output leaves the block.
        exit_call: Which call of that module in a forward pass it is, from 0.
        names: Qualified names of the block's modules, for display.
        mode: Training mode that a function inside was traced with; ``None`` if there is none.
        compile_local: Whether local passes run compiled.
    """

    module: nn.Module
    parameter_list: list[nn.Parameter]
    exit_module: nn.Module
    exit_call: int
    names: list[str]
    mode: bool | None = None
    compile_local: bool = False
    _cache: _Cache = field(default_factory=_Cache, repr=False)
    _compiled: Run | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls, model: nn.Module, graph: fx.Graph, block: Sequence[Unit], *, compile_local: bool
    ) -> Self:
        """Build the stage of some consecutive units."""
        nodes = [node for unit in block for node in unit.nodes]
        last = nodes[-1]
        calls = [n for n in graph.nodes if n.op == "call_module" and n.target == last.target]
        leaves = last.op == "call_module"
        return cls(
            module=extract(model, nodes),
            parameter_list=[p for unit in block for p in unit.parameters],
            exit_module=model.get_submodule(str(last.target)) if leaves else model,
            exit_call=calls.index(last) if leaves else 0,
            names=[str(n.target) for n in nodes if n.op == "call_module"],
            mode=model.training if any("training" in n.kwargs for n in nodes) else None,
            compile_local=compile_local,
        )

    def parameters(self) -> list[nn.Parameter]:
        """Return the block's parameters that require a gradient."""
        return [p for p in self.parameter_list if p.requires_grad]

    def local_gradient(self, part: Part | None = None) -> list[Tensor]:
        """Return eq. (2) at the present weights.

        The vector-Jacobian product of the block with its input and its downstream gradient frozen
        at the captured iterate; at that iterate's weights it is the global gradient's block.

        Args:
            part: Use only these samples. Dropout masks are then not those of the captured pass,
                and BatchNorm takes its statistics over the part.
        """
        entry, downstream = self._captured_entry(), self._cache.downstream
        if part is not None and downstream is not None:
            entry, downstream = part.cut(entry, downstream)
        return gradients(self._forward(entry), self.parameters(), downstream)

    def local_forward(self) -> Tensor:
        """Run the block on its captured input, with the random numbers of the captured pass."""
        return self._forward(self._captured_entry())

    def _captured_entry(self) -> Tensor:
        if self._cache.entry is None:
            raise RuntimeError("no boundary data: run a forward pass inside capture() first")
        return self._cache.entry

    def _forward(self, entry: Tensor) -> Tensor:
        assert self._cache.random is not None
        self._cache.random.restore()
        downstream = self._cache.downstream
        with torch.enable_grad():
            outputs = self._runner(entry)
            # The same tensor, unless the precision is reduced.
            return outputs if downstream is None else outputs.to(downstream.dtype)

    @property
    def _runner(self) -> Run:
        """What runs the block alone: the module, or its compiled form, made on first use."""
        if not self.compile_local:
            return self.module
        if self._compiled is None:
            # Random numbers as without compilation, so that masks are those of the captured pass;
            # on CUDA one graph for each shape.
            options: dict[str, Any] = {
                "fallback_random": True,
                "triton.cudagraphs": torch.cuda.is_available(),
            }
            self._compiled = cast(Run, torch.compile(self.module, dynamic=False, options=options))
        return self._compiled

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_compiled": None}


class LayerPartition(Sequence[Stage]):
    """The stages of a model; implements :class:`napts.optim.subdomains.Decomposition`.

    Args:
        model: The network, called as a whole by the closure.
        stages: Its blocks, in order; together they hold every trainable parameter once.
    """

    def __init__(self, model: nn.Module, stages: Sequence[Stage]) -> None:
        self.model = model
        self._stages = list(stages)

    @overload
    def __getitem__(self, index: int) -> Stage: ...
    @overload
    def __getitem__(self, index: slice) -> list[Stage]: ...
    def __getitem__(self, index: int | slice) -> Stage | list[Stage]:
        return self._stages[index]

    def __len__(self) -> int:
        return len(self._stages)

    def __repr__(self) -> str:
        lines = [
            f"  {d}: {sum(p.numel() for p in stage.parameters()):,} parameters in "
            f"{', '.join(stage.names)}"
            for d, stage in enumerate(self._stages)
        ]
        return "\n".join(
            [f"LayerPartition({len(self)} stages of {type(self.model).__name__}", *lines, ")"]
        )

    @property
    def total(self) -> int:
        """Number of stages."""
        return len(self._stages)

    @property
    def holds_last(self) -> bool:
        """Whether the last stage is here, as all of them are."""
        return True

    @property
    def parameter_sets(self) -> list[list[nn.Parameter]]:
        """The trainable parameters of each stage."""
        return [stage.parameters() for stage in self._stages]

    @contextmanager
    def capture(self) -> Iterator[None]:
        """Catch the boundary data of the one forward pass of the model that happens inside.

        Hooks are set for its duration only; the model carries none of them afterwards.

        Raises:
            RuntimeError: If the model is not called exactly once, or a later operation overwrote
                a boundary tensor in place, or the model has changed between training and
                evaluation mode while a stage holds a function (such as ``F.dropout``) to the
                mode in which it was partitioned.
        """
        self.release()
        self._check_mode()
        calls: list[int] = []
        with ExitStack() as hooks:
            for handle in self._hooks(calls):
                hooks.callback(handle.remove)
            yield
        if len(calls) != 1:
            raise RuntimeError(
                f"the closure must call the partitioned model once, it called it {len(calls)} times"
            )
        self._check_untouched()

    def _hooks(self, calls: list[int]) -> Iterator[RemovableHandle]:
        devices = cuda_devices(self.model.parameters())

        def on_input(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
            calls.append(1)
            _enter(self._stages[0], inputs[0], devices)

        def on_output(_module: nn.Module, _inputs: object, outputs: Tensor) -> None:
            _leave(self._stages[-1], outputs)

        yield self.model.register_forward_pre_hook(on_input)
        for stage, following in pairwise(self._stages):
            yield stage.exit_module.register_forward_hook(_boundary(stage, following, devices))
        yield self.model.register_forward_hook(on_output)

    def _check_mode(self) -> None:
        for index, stage in enumerate(self._stages):
            if stage.mode is not None and stage.mode != self.model.training:
                raise RuntimeError(
                    f"stage {index} calls a function that was traced with training={stage.mode}: "
                    "partition the model again after changing its mode, or use a module for it"
                )

    def _check_untouched(self) -> None:
        for index, stage in enumerate(self._stages):
            output = stage._cache.output
            if output is None:
                raise RuntimeError(f"stage {index} was not reached by the model's forward pass")
            if output._version != stage._cache.version:
                raise RuntimeError(
                    f"the output of stage {index} ({stage.names[-1]}) is modified in place by a "
                    "later layer; make that layer not in-place"
                )

    def boundaries(self) -> list[Tensor]:
        """Return the captured outputs ``a_d`` of all stages behind the first trained parameter."""
        outputs = [stage._cache.output for stage in self._stages]
        return [output for output in outputs if output is not None and output.requires_grad]

    def set_downstream(self, downstream: Sequence[Tensor]) -> None:
        """Cache the downstream gradients ``delta_d``; the captured graph is no longer held."""
        gradients = iter(downstream)
        for stage in self._stages:
            if stage._cache.output is not None and stage._cache.output.requires_grad:
                stage._cache.downstream = next(gradients).detach()
            stage._cache.output = None

    def local_gradient(self, subdomain: int, part: Part | None = None) -> list[Tensor]:
        """Return eq. (2) for one stage at its present weights."""
        return self._stages[subdomain].local_gradient(part)

    def exact_gradient_of_last(self, closure: Closure) -> list[Tensor]:
        """Return the last stage's gradient of the loss, with only the stage's input frozen.

        The closure is called with the model standing in for its last stage.
        """
        stage = self._stages[-1]
        with _stand_in(self.model, stage.local_forward), torch.enable_grad():
            loss = closure()
        return gradients(loss, stage.parameters())

    def release(self) -> None:
        """Drop all boundary data."""
        for stage in self._stages:
            stage._cache = _Cache()


def _enter(stage: Stage, inputs: Tensor, devices: list[torch.device]) -> None:
    stage._cache.entry = inputs.detach()
    stage._cache.random = RandomState(devices)


def _leave(stage: Stage, outputs: Tensor) -> None:
    stage._cache.output, stage._cache.version = outputs, outputs._version


def _boundary(
    stage: Stage, following: Stage, devices: list[torch.device]
) -> Callable[[nn.Module, object, Tensor], None]:
    """Make the hook that catches what passes from one stage to the next."""
    seen = 0

    def hook(_module: nn.Module, _inputs: object, outputs: Tensor) -> None:
        nonlocal seen
        if seen == stage.exit_call:
            _leave(stage, outputs)
            _enter(following, outputs, devices)
        seen += 1

    return hook


@contextmanager
def _stand_in(model: nn.Module, forward: Callable[[], Tensor]) -> Iterator[None]:
    """Let calls of the model return ``forward()``, whatever they pass in."""
    model.forward = lambda *_args, **_kwargs: forward()
    try:
        yield
    finally:
        del model.forward
