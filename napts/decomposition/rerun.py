"""Running one block alone through the model's own code, without the rest."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from napts.decomposition.interception import Call, Watcher, intercepted
from napts.decomposition.trees import detached, mapped, replaced, tensors_of
from napts.decomposition.visits import Autocast, Cut, Recorded, Visit


class _Left(BaseException):
    """The block has ended; nothing after it needs to run."""

    def __init__(self, tree: Any) -> None:
        super().__init__()
        self.tree = tree


class Rerun:
    """Runs a block as the model does: everything before it returns what it returned then.

    The model's own ``forward`` is called with the captured arguments. Modules before the block are
    not run; they return what they returned then. The block gets its captured input, whatever was
    computed for it now. Where the block ends, the call ends. So the code between modules (masks,
    positions, reshaping) is the model's own, including hooks and branches.

    Args:
        model: The network.
        cuts: Where its blocks end, in order.
    """

    def __init__(self, model: nn.Module, cuts: Sequence[Cut]) -> None:
        self._model = model
        self._cuts = list(cuts)
        self._outside = _largest_without(model, [cut.module for cut in cuts])
        self._safe: set[nn.Module] = set()
        self._marks: list[tuple[nn.Module, list[Tensor], list[int]]] = []

    def recorders(self, current: Callable[[], Recorded | None]) -> dict[nn.Module, Watcher]:
        """Return watchers that log what modules between the cuts return.

        Args:
            current: Returns the call of the model in progress, if any.
        """
        self._marks = []

        def recorder(module: nn.Module) -> Watcher:
            def watch(original: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
                outputs = original(*args, **kwargs)
                if (recorded := current()) is not None:
                    alone = detached(outputs)
                    tensors = tensors_of(alone)
                    self._marks.append((module, tensors, [t._version for t in tensors]))
                    kept = alone if module in self._safe else mapped(Tensor.clone, alone)
                    recorded.log.setdefault(module, []).append(kept)
                return outputs

            return watch

        return {module: recorder(module) for module in self._outside}

    def settle(self) -> bool:
        """Find out, after a captured pass, whose outputs the model's code overwrites in place.

        The outputs of other modules need not be copied the next time.

        Returns:
            Whether the recorded outputs are still as they were returned.
        """
        overwritten = {
            module
            for module, tensors, versions in self._marks
            if any(t._version != v for t, v in zip(tensors, versions, strict=True))
        }
        intact = not overwritten & self._safe
        self._safe = {module for module, _, _ in self._marks} - overwritten
        self._marks = []
        return intact

    def run(self, recorded: Recorded, block: int, ambient: Autocast) -> list[Tensor]:
        """Run one block on its input from a call of the model.

        Args:
            recorded: The call.
            block: Which block.
            ambient: State of autocast around the closure.

        Returns:
            All tensors that leave it.

        Raises:
            RuntimeError: If the model does not reach the block by the same path as then.
        """
        turns = _Turns(self, recorded, block)
        assert recorded.arguments is not None
        args, kwargs = recorded.arguments
        recorded.random.restore()
        with (
            intercepted(turns.watchers()),
            recorded.autocast.again(ambient),
            torch.enable_grad(),
        ):
            try:
                tree = self._model(*args, **kwargs)
            except _Left as left:
                return tensors_of(left.tree)
        if block < len(self._cuts) or not turns.inside:
            raise RuntimeError(
                f"block {block} was not passed as at the captured call: the modules in cuts must "
                "be called in the order in which the model lists them, and its forward must depend "
                "only on its parameters, its inputs and torch's random generators"
            )
        return tensors_of(tree)


class _Turns:
    """The run of one block: how far it is, and what modules do at that point."""

    def __init__(self, rerun: Rerun, recorded: Recorded, block: int) -> None:
        self._rerun = rerun
        self._recorded = recorded
        self._visit: Visit = recorded.visits[block]
        cuts = rerun._cuts
        self._entry = cuts[block - 1] if block > 0 else None
        self._exit = cuts[block] if block < len(cuts) else None
        self.inside = block == 0
        self._counts: dict[nn.Module, int] = {}

    def watchers(self) -> Mapping[nn.Module, Watcher]:
        """Return what replaces the modules' calls."""
        ends = [cut.module for cut in (self._entry, self._exit) if cut is not None]
        return {module: self._watcher(module) for module in (*self._rerun._outside, *ends)}

    def _watcher(self, module: nn.Module) -> Watcher:
        def watch(original: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            self._counts[module] = turn = self._counts.get(module, -1) + 1
            if not self.inside:
                if _is_at(self._entry, module, turn):
                    return self._enter(original, args, kwargs)
                log = self._recorded.log.get(module, [])
                if turn >= len(log):
                    return original(*args, **kwargs)
                safe = module in self._rerun._safe
                return log[turn] if safe else mapped(Tensor.clone, log[turn])
            if not _is_at(self._exit, module, turn):
                return original(*args, **kwargs)
            before = self._exit is not None and self._exit.before
            raise _Left((args, kwargs) if before else original(*args, **kwargs))

        return watch

    def _enter(self, original: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        assert self._entry is not None
        self.inside = True
        values = tensors_of(self._visit.entry)
        if self._entry.before:
            args, kwargs = replaced((args, kwargs), values)
        if self._visit.random is not None:
            self._visit.random.restore()
        return original(*args, **kwargs) if self._entry.before else self._visit.entry


def _is_at(cut: Cut | None, module: nn.Module, turn: int) -> bool:
    return cut is not None and cut.module is module and cut.call == turn


def _largest_without(model: nn.Module, modules: Sequence[nn.Module]) -> list[nn.Module]:
    """Return the largest modules of a model that contain none of the given ones."""
    wanted = {id(module) for module in modules}
    inner = {
        id(module): any(id(child) in wanted for child in module.modules() if child is not module)
        for module in model.modules()
    }
    found: dict[int, nn.Module] = {}
    waiting = list(model.children())
    while waiting:
        module = waiting.pop()
        # A container without a forward of its own is never called.
        if inner[id(module)] or type(module).forward is nn.Module.forward:
            waiting.extend(module.children())
        else:
            found[id(module)] = module
    return list(found.values())
