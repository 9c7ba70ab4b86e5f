"""What surrounds an optimizer's steps: its closure's needs, autocast, other threads and processes.

Some of it is known only once the closure has been called, and is kept for later steps.
"""

import threading
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from napts.optim.data_parallel import DataParallel, check_whole

_running: dict[int, "_Run"] = {}
"""The steps running now, in all threads."""


class _Run:
    """One step: which thread takes it, and whether another step has interfered with it.

    Attributes:
        thread: The thread that takes it.
        replays: It sets torch's random generators back to earlier states.
        overlaps: A step that does so ran in another thread at the same time.
    """

    def __init__(self, *, replays: bool) -> None:
        self.thread = threading.get_ident()
        self.replays = replays
        self.overlaps = False


class StepContext:
    """Entered around every step of one optimizer.

    Copies and pickles keep what it has learnt about the closure, but not about processes.

    Args:
        graph_for_values: The closure differentiates inside, so that even a trial whose gradient
            is not wanted needs a graph.
        replays: The steps set torch's random generators back to earlier states.

    Attributes:
        graph_for_values: The same; also set once it is discovered.
        draws: The closure has been seen to draw random numbers.
        data_parallel: The processes that each have their own batch, once known.
    """

    def __init__(self, *, graph_for_values: bool = False, replays: bool = True) -> None:
        self._replays = replays
        self.graph_for_values = graph_for_values
        self.draws = False
        self._looked = False
        self.data_parallel: DataParallel | None = None
        self._run: _Run | None = None
        self._whole: Sequence[Tensor] = ()
        self._met: list[DistributedDataParallel] = []
        self._settings: list[tuple[DistributedDataParallel, dict[str, bool]]] = []

    def __reduce__(self) -> tuple[object, ...]:
        return _restored, (self.graph_for_values, self._replays)

    def __enter__(self) -> None:
        if self._run is not None:
            raise RuntimeError(
                "this optimizer's step is already running: call it from one thread, and not from "
                "its own closure"
            )
        run = self._run = _Run(replays=self._replays)
        # Registered before it looks around: of two steps that begin at once one sees the other.
        _running[id(run)] = run
        if len(_running) > 1:
            for other in list(_running.values()):
                if other.thread != run.thread:
                    other.overlaps = other.overlaps or run.replays
                    run.overlaps = run.overlaps or other.replays

    def __exit__(self, *_error: object) -> None:
        _running.pop(id(self._run), None)
        self._run = None
        # Weights that autocast has converted are not those that the step has left.
        torch.clear_autocast_cache()
        self._met.clear()
        while self._settings:
            wrapper, settings = self._settings.pop()
            for name, value in settings.items():
                setattr(wrapper, name, value)

    @property
    def wonders(self) -> bool:
        """Whether it must still be found out if the closure draws random numbers.

        True at the first evaluation, and whenever there are other threads. This must be known
        early: a step beside this one can set the generators back, and that looks as if nothing was
        drawn.
        """
        return not self.draws and (not self._looked or threading.active_count() > 1)

    def note(self, *, draws: bool) -> None:
        """Note whether an evaluation of the closure has drawn random numbers."""
        self.draws, self._looked = draws, True

    def check_alone(self) -> None:
        """Check that no other thread's step has disturbed the random numbers of this one.

        Raises:
            RuntimeError: If the closure draws some and another thread's step sets them back.
        """
        if self.draws and self._run is not None and self._run.overlaps:
            raise RuntimeError(
                "steps overlap in two threads and the closure draws random numbers: torch's "
                "generators are shared by all threads, so neither step could repeat its own; "
                "take the steps one after the other (a lock around step), or in separate processes"
            )

    def check_whole(self, trained: Sequence[Tensor]) -> None:
        """Check, once for a list, that no parameter in it is sharded over processes.

        Raises:
            ValueError: If one is.
        """
        if trained is not self._whole:
            check_whole(trained)
            self._whole = trained

    def meet(self, wrapper: nn.Module, trained: Sequence[Tensor]) -> None:
        """Note a data-parallel wrapper that the closure is about to call.

        Its buffers are set to those of the first process now, once for the whole step, and its own
        averaging of ``.grad`` is switched off until the step ends.

        Args:
            wrapper: The module.
            trained: The optimizer's parameters; a wrapper that has none of them is left alone.

        Raises:
            ValueError: If it is not a DistributedDataParallel.
        """
        if not isinstance(wrapper, DistributedDataParallel):
            raise ValueError(
                "the network is sharded (FullyShardedDataParallel), allowed: whole parameters in "
                "every process; wrap it in DistributedDataParallel, or spread it with "
                "napts.Pipeline"
            )
        own = set(map(id, trained))
        if wrapper in self._met or not any(id(p) in own for p in wrapper.parameters()):
            return
        self._met.append(wrapper)
        self._settings.append(
            (wrapper, {name: getattr(wrapper, name) for name in _switches(wrapper)})
        )
        if wrapper.will_sync_module_buffers():
            wrapper._sync_buffers()
        for name, value in _switches(wrapper).items():
            setattr(wrapper, name, value)

    def joined(self) -> DataParallel | None:
        """Return the processes whose wrapper the first evaluation of this step has called.

        Raises:
            RuntimeError: If an earlier step's closure called a wrapper and this one's did not, or
                if two wrappers have different process groups.
        """
        if not self._met:
            if self.data_parallel is not None:
                raise RuntimeError(
                    "the closure calls the network without its DistributedDataParallel wrapper, "
                    "with which it was called in an earlier step: call the wrapper in every step"
                )
            return None
        groups = [wrapper.process_group for wrapper in self._met]
        if any(group is not groups[0] for group in groups):
            raise RuntimeError(
                "the closure calls DistributedDataParallel modules of different process groups, "
                "allowed: one group for all of them"
            )
        if self.data_parallel is None or self.data_parallel.group is not groups[0]:
            assert groups[0] is not None
            self.data_parallel = DataParallel(groups[0])
        return self.data_parallel


def _restored(graph_for_values: bool, replays: bool) -> StepContext:
    return StepContext(graph_for_values=graph_for_values, replays=replays)


def _switches(wrapper: DistributedDataParallel) -> dict[str, bool]:
    """Return the attributes of a wrapper that make it do nothing but call its network."""
    off = {"require_backward_grad_sync": False, "require_forward_param_sync": False}
    # A static graph's first backward would have .grad reduced, which is not used here.
    return {**off, "_static_graph_delay_allreduce_enqueued": True} if wrapper.static_graph else off
