"""Layer blocks with cached boundary data: the inexact subdomains of NAPTS, section 2.1."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, overload

import torch
from torch import Tensor, nn

from napts.decomposition.capture import Capture
from napts.decomposition.consistency import Consistency, Copies
from napts.decomposition.interception import Call, intercepted
from napts.decomposition.rerun import Rerun
from napts.decomposition.stage import Stage
from napts.decomposition.trees import replaced, tensors_of
from napts.decomposition.visits import Cut, Recorded, Visit, cut_samples
from napts.optim.gradients import gradients
from napts.optim.subdomains import CaptureAgainError, Closure, Part
from napts.optim.vectors import cuda_devices


class LayerPartition(Sequence[Stage]):
    """The stages of a model; implements :class:`napts.optim.subdomains.Decomposition`.

    A block runs alone as a traced copy of its operations, or through the model's own code. The
    first captured pass, and each that looks different from those before, is used for a comparison:
    a traced copy that does not compute what the model computes is not used again.

    Args:
        model: The network, called as a whole by the closure.
        stages: Its blocks, in order; together they hold every trainable parameter once.
        cuts: Where they end, except the last one.
        copies: Whether the stages' modules can run them: "trusted", "possible" or "none".
    """

    def __init__(
        self, model: nn.Module, stages: Sequence[Stage], cuts: Sequence[Cut], copies: Copies
    ) -> None:
        self.model = model
        self.cuts = list(cuts)
        self._stages = list(stages)
        self._consistency = Consistency(model, copies)
        if any(stage.compile_local for stage in stages):
            self._consistency.ask_for_copies()
        self._forget()

    def _forget(self) -> None:
        self._captured: Capture | None = None
        self._rerun: Rerun | None = None

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

    def __getstate__(self) -> dict[str, Any]:
        passing = ("_captured", "_rerun")
        return {name: value for name, value in self.__dict__.items() if name not in passing}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    @property
    def total(self) -> int:
        """Number of stages."""
        return len(self._stages)

    @property
    def holds_last(self) -> bool:
        """Whether the last stage is here; all of them are."""
        return True

    @property
    def parameter_sets(self) -> list[list[nn.Parameter]]:
        """The trainable parameters of each stage."""
        return [stage.parameters() for stage in self._stages]

    @contextmanager
    def capture(self) -> Iterator[None]:
        """Capture the boundary data of the model's forward passes that happen inside.

        Calls under ``torch.no_grad()`` are let through. The model is watched only meanwhile, and no
        trace of that remains on it.

        Raises:
            RuntimeError: See :meth:`napts.decomposition.capture.Capture.watching`.
        """
        self.release()
        self._consistency.begin()
        parameters = [p for stage in self._stages for p in stage.parameter_list]
        devices = [parameters[0].device, *cuda_devices(parameters)]
        rerun = None if self._consistency.traced else self._through_model
        self._captured = Capture(self.model, self.cuts, devices, rerun)
        with self._captured.watching():
            yield

    def ask_for_parts(self) -> None:
        """Prepare for gradients on parts of the batch, which the model's own code cannot give."""
        self._consistency.ask_for_copies()

    @property
    def _through_model(self) -> Rerun:
        if self._rerun is None:
            self._rerun = Rerun(self.model, self.cuts)
        return self._rerun

    @property
    def _pass(self) -> Capture:
        if self._captured is None:
            raise RuntimeError("no boundary data: run a forward pass inside capture() first")
        return self._captured

    def inspect(self, loss: Tensor) -> None:
        """Examine how a captured loss depends on the stages, while its graph exists."""
        outputs = [self._pass.outputs(stage) for stage in range(len(self))]
        self._consistency.inspect(loss, outputs, self.parameter_sets)
        if not self._pass.intact:
            self._consistency.compares = True

    def boundaries(self) -> list[Tensor]:
        """Return the captured outputs ``a_d`` of all stages, call by call."""
        return self._pass.boundaries()

    def set_downstream(self, downstream: Sequence[Tensor]) -> None:
        """Cache the downstream gradients ``delta_d``; the captured graph is no longer held."""
        self._pass.set_downstream(downstream, keep_values=self._consistency.compares)

    def compared(self) -> list[int]:
        """Return the stages whose gradients are to be compared with the global one's blocks."""
        return self._consistency.compared(len(self))

    def lacks(self, subdomain: int) -> bool:
        """Tell whether the graph of the loss shows that a stage's gradient is incomplete."""
        return subdomain in self._consistency.lacking

    def remainder(
        self, subdomain: int, local: Tensor, whole: Tensor, scale: Tensor
    ) -> Tensor | None:
        """Return the difference between the global gradient's block and a stage's gradient.

        Raises:
            CaptureAgainError: If the stages run in another way from now on.
        """
        return self._consistency.remainder(subdomain, local, whole, scale)

    def local_gradient(
        self, subdomain: int, part: Part | None = None, *, at_iterate: bool = False
    ) -> list[Tensor]:
        """Return eq. (2) for one stage at its current weights.

        This is the vector-Jacobian product of the block, with its input and its downstream gradient
        frozen at the captured iterate, over all calls of the model. At that iterate's weights it is
        the global gradient's block, up to the difference that :meth:`remainder` returns.

        Args:
            subdomain: Which one.
            part: Use only these samples. Dropout masks are then not those of the captured pass,
                and BatchNorm takes its statistics over the part.
            at_iterate: The weights are those of the captured iterate: if this pass is one for
                comparisons, compare what the block returns with what it returned in the model.

        Raises:
            CaptureAgainError: If the block does not compute what the model did and the stages run
                in another way from now on.
            RuntimeError: If it does not and there is no other way.
        """
        captured = self._pass
        if not captured.intact:
            raise CaptureAgainError(
                "the model now overwrites in place what it did not overwrite before"
            )
        outputs: list[Tensor] = []
        downstream: list[Tensor] = []
        for recorded in captured.calls:
            found, wanted = self._run(recorded, subdomain, part, at_iterate)
            outputs += found
            downstream += wanted
        parameters = self._stages[subdomain].parameters()
        if not all(output.requires_grad for output in outputs):
            pairs = zip(outputs, downstream, strict=True)
            kept = [(output, d) for output, d in pairs if output.requires_grad]
            outputs, downstream = [o for o, _ in kept], [d for _, d in kept]
        if not outputs:
            return [torch.zeros_like(p) for p in parameters]
        return gradients(outputs, parameters, downstream)

    def _run(
        self, recorded: Recorded, subdomain: int, part: Part | None, at_iterate: bool
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Run a block on its input from a call; return outputs and downstream gradients."""
        visit = recorded.visits[subdomain]
        if not visit.downstream:
            return [], []
        if part is None:
            outputs = self._outputs(recorded, subdomain)
            if at_iterate and visit.values:
                self._consistency.check_outputs(subdomain, outputs, visit.values)
            wanted = visit.downstream
        else:
            outputs, wanted = self._part_of(visit, subdomain, part)
        if [output.dtype for output in outputs] != [vector.dtype for vector in wanted]:
            with torch.enable_grad():  # the precision is reduced
                outputs = [o.to(w.dtype) for o, w in zip(outputs, wanted, strict=True)]
        return outputs, wanted

    def _outputs(self, recorded: Recorded, subdomain: int) -> list[Tensor]:
        """Return the tensors leaving a block through which a gradient flows."""
        visit = recorded.visits[subdomain]
        if self._consistency.traced:
            found = tensors_of(self._traced(visit, subdomain, visit.entry))
        else:
            found = self._through_model.run(recorded, subdomain, self._pass.ambient)
        return [found[place] for place in visit.places if place < len(found)]

    def _traced(self, visit: Visit, subdomain: int, entry: Any) -> Any:
        assert visit.random is not None
        assert visit.autocast is not None
        visit.random.restore()
        with visit.autocast.again(self._pass.ambient), torch.enable_grad():
            return self._stages[subdomain].runner(entry)

    def _part_of(
        self, visit: Visit, subdomain: int, part: Part
    ) -> tuple[list[Tensor], list[Tensor]]:
        if not self._consistency.traced:
            raise RuntimeError(
                f"local_fraction: found {part.fraction}, allowed for a model whose blocks run "
                f"through its own code: 1 ({self._consistency.reason})"
            )
        size = part.check([*tensors_of(visit.entry), *visit.downstream])
        samples, scale = part.samples(size), part.scale(size)
        tree = self._traced(visit, subdomain, cut_samples(visit.entry, size, samples))
        found = tensors_of(tree)
        wanted = [scale * cut_samples(vector, size, samples) for vector in visit.downstream]
        return [found[place] for place in visit.places], wanted

    def exact_gradient_of_last(self, closure: Closure) -> list[Tensor]:
        """Return the last stage's gradient of the loss, with only the stage's input frozen.

        The closure is called with the model reduced to its last stage.

        Raises:
            RuntimeError: If the closure needs more of the model than that.
        """
        last, turn, calls = len(self) - 1, 0, self._pass.calls

        def watch(original: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            nonlocal turn
            if not torch.is_grad_enabled() or turn >= len(calls):
                return original(*args, **kwargs)
            recorded, turn = calls[turn], turn + 1
            found = tensors_of(recorded.outputs)
            for place, tensor in zip(
                recorded.visits[last].places, self._outputs(recorded, last), strict=True
            ):
                found[place] = tensor
            return replaced(recorded.outputs, found)

        with intercepted({self.model: watch}), torch.enable_grad():
            try:
                loss = closure()
            except RuntimeError as error:
                if "does not require grad" in str(error) or "not have been used" in str(error):
                    raise RuntimeError(
                        "last_block_exact: the closure takes derivatives through the whole model, "
                        "allowed: last_block_exact=False"
                    ) from error
                raise
        parameters = self._stages[last].parameters()
        if not loss.requires_grad:
            return [torch.zeros_like(p) for p in parameters]
        return gradients(loss, parameters)

    def release(self) -> None:
        """Drop all boundary data."""
        self._captured = None
