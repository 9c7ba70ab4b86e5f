"""Capturing what passes from one block of a model to the next, while a closure calls it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from napts.decomposition.interception import Call, Watcher, intercepted
from napts.decomposition.rerun import Rerun
from napts.decomposition.trees import check_unwrapped, detached, mapped, tensors_of
from napts.decomposition.visits import Autocast, Cut, Recorded, Visit, entry_of
from napts.optim.replay import RandomState


class Capture:
    """The captured pass of a model: all calls of it, and the inputs and outputs of its blocks.

    Args:
        model: The network.
        cuts: Where its blocks end, except the last one.
        devices: The device of its first block, then all CUDA devices that it is on.
        rerun: Runs blocks through the model's own code, for which more must be kept; ``None`` if
            they run on their own.

    Attributes:
        calls: The calls of the model, in order.
        ambient: State of autocast around the closure.
        intact: Whether what was kept is unchanged.
    """

    def __init__(
        self,
        model: nn.Module,
        cuts: Sequence[Cut],
        devices: Sequence[torch.device],
        rerun: Rerun | None,
    ) -> None:
        self.calls: list[Recorded] = []
        self.intact = True
        self._kind, self._cuda = devices[0].type, list(devices[1:])
        self.ambient = Autocast(self._kind)
        self._model = model
        self._cuts = cuts
        self._rerun = rerun
        self._current: Recorded | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the model; no trace of that remains on it.

        Raises:
            RuntimeError: If the model is not called, a call does not pass through all blocks, a
                later operation overwrote a boundary tensor in place, or the model is called inside
                itself or inside a transform of ``torch.func``.
        """
        with intercepted(self._watchers()):
            yield
        if not self.calls:
            raise RuntimeError(
                f"the closure must call the partitioned model ({type(self._model).__name__}) with "
                "gradients enabled, but it did not (perhaps it calls only its parts, its forward() "
                "instead of itself, or a compiled copy)"
            )
        self.intact = self._rerun is None or self._rerun.settle()
        for recorded in self.calls:
            self._check(recorded)

    def _watchers(self) -> dict[nn.Module, Watcher]:
        """Return watchers of the model, the modules at its cuts, and those between if needed."""
        watchers: dict[nn.Module, Watcher] = {}
        if self._rerun is not None:
            watchers.update(self._rerun.recorders(lambda: self._current))
        for index, cut in enumerate(self._cuts):
            watchers[cut.module] = self._boundary(index, cut, watchers.get(cut.module))
        return {**watchers, self._model: self._whole}

    def _whole(self, original: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Watch a call of the model itself."""
        if not torch.is_grad_enabled():
            return original(*args, **kwargs)
        if self._current is not None:
            raise RuntimeError("the partitioned model calls itself, which cannot be captured")
        self._current = recorded = self._begun(args, kwargs)
        try:
            outputs = original(*args, **kwargs)
        finally:
            self._current = None
        if not tensors_of(outputs):
            raise RuntimeError(
                f"the model returned {type(outputs).__name__}, in which no tensor was found, "
                "allowed: tensors in tuples, lists, dictionaries, named tuples and anything "
                "registered with torch.utils.pytree"
            )
        outputs = recorded.visits[-1].leave(outputs)
        if recorded.visits[-1].outputs:
            recorded.outputs = outputs
            self.calls.append(recorded)
        return outputs

    def _begun(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Recorded:
        # One by one: most are tensors, and a structure of all takes longer to walk.
        check_unwrapped([t for each in (*args, *kwargs.values()) for t in tensors_of(each)])
        visits = [Visit() for _ in range(len(self._cuts) + 1)]
        arguments = None if self._rerun is None else detached((args, kwargs))
        if arguments is None:
            visits[0].entry = entry_of(args, kwargs)
        recorded = Recorded(arguments, RandomState(self._cuda), Autocast(self._kind), visits)
        visits[0].random, visits[0].autocast = recorded.random, recorded.autocast
        return recorded

    def _boundary(self, index: int, cut: Cut, recorder: Watcher | None) -> Watcher:
        """Make the watcher that captures what passes from one block to the next."""

        def call(original: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if recorder is not None:
                return recorder(original, args, kwargs)
            return original(*args, **kwargs)

        def watch(original: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            recorded = self._current
            if recorded is None or recorded.turn(cut.module) != cut.call:
                return call(original, args, kwargs)
            if cut.before:
                args, kwargs = self._cross(recorded, index, (args, kwargs))
                return call(original, args, kwargs)
            return self._cross(recorded, index, call(original, args, kwargs))

        return watch

    def _cross(self, recorded: Recorded, index: int, tree: Any) -> Any:
        """Note what leaves one block and enters the next; return what to pass on."""
        tree = recorded.visits[index].leave(tree)
        following = recorded.visits[index + 1]
        following.entry = mapped(Tensor.detach, tree)
        following.random, following.autocast = RandomState(self._cuda), Autocast(self._kind)
        return tree

    def _check(self, recorded: Recorded) -> None:
        """Check that a call has passed all blocks, and left alone what passed between them."""
        for index, visit in enumerate(recorded.visits):
            if not visit.left:
                raise RuntimeError(
                    f"stage {index} was not reached by the model's forward pass: it ends at "
                    f"{self._cuts[index].name}, which was not called; partition the model again "
                    "in the mode in which it is trained"
                )
            for tensor, version in zip(visit.outputs, visit.versions, strict=True):
                if tensor._version != version:
                    name = "its last module"
                    if index < len(self._cuts):
                        name = self._cuts[index].name
                    raise RuntimeError(
                        f"the output of stage {index} ({name}) is modified in place by a later "
                        "layer; make that layer not in-place"
                    )

    def outputs(self, block: int) -> list[Tensor]:
        """Return the differentiable outputs of a block, call by call."""
        return [tensor for recorded in self.calls for tensor in recorded.visits[block].outputs]

    def boundaries(self) -> list[Tensor]:
        """Return the outputs of all blocks, call by call."""
        return [t for r in self.calls for visit in r.visits for t in visit.outputs]

    def set_downstream(self, downstream: Sequence[Tensor], *, keep_values: bool) -> None:
        """Keep the gradients at :meth:`boundaries`, and drop the graph.

        Args:
            downstream: The gradients.
            keep_values: Keep the outputs too, for comparison.
        """
        found = iter(downstream)
        for recorded in self.calls:
            recorded.outputs = detached(recorded.outputs)
            for visit in recorded.visits:
                visit.downstream = [next(found).detach() for _ in visit.outputs]
                if keep_values:
                    visit.values = [tensor.detach() for tensor in visit.outputs]
                visit.outputs = []
