"""Replay: makes a closure a function of the parameters for the duration of one iteration.

Otherwise dropout masks and BatchNorm statistics would change from one evaluation to the next, and
a ratio of reductions would compare two different functions.
"""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _global_forward_pre_hooks
from torch.utils.hooks import RemovableHandle

from napts.optim.data_parallel import wrappers

Meet = Callable[[nn.Module], None]
"""Called with a data-parallel wrapper before it is called itself."""


class RandomState:
    """The state of torch's random generators on the CPU and on the given CUDA devices.

    Args:
        devices: CUDA devices whose generators are included.
    """

    def __init__(self, devices: list[torch.device]) -> None:
        self._cpu = torch.get_rng_state()
        self._cuda = [(device, torch.cuda.get_rng_state(device)) for device in devices]

    @property
    def devices(self) -> list[torch.device]:
        """The CUDA devices whose generators are included."""
        return [device for device, _ in self._cuda]

    def restore(self) -> None:
        """Set the generators to this state."""
        torch.default_generator.set_state(self._cpu)
        for device, state in self._cuda:
            torch.cuda.set_rng_state(state, device)

    def go_on(self) -> None:
        """Seed all generators from this state, unless they are still in it.

        The numbers that follow are the same, however many were drawn in between.
        """
        if not self.differs(RandomState(self.devices)):
            return
        self.restore()
        torch.manual_seed(int(torch.randint(2**62, ())))

    def differs(self, other: "RandomState") -> bool:
        """Tell whether another state of the same generators differs from this one."""
        pairs = zip(self._states(), other._states(), strict=True)
        return not all(torch.equal(a, b) for a, b in pairs)

    def _states(self) -> list[Tensor]:
        return [self._cpu, *(state for _, state in self._cuda)]


class _Buffers:
    """Values of the buffers of all modules that the closure calls, found by watching it.

    While it is entered, it keeps the buffers of every module that is called, as they were before
    the call. Torch calls modules more slowly while a global hook is set. An outermost module brings
    its children with it, so the hook is lifted until that module returns. Calls from any thread but
    the watching one are ignored.
    """

    def __init__(self, meet: Meet | None) -> None:
        self._meet = meet
        self._wrappers = wrappers()
        self._thread = threading.get_ident()
        self._seen: set[nn.Module] = set()
        self._owners: list[tuple[dict[str, Any], str, Tensor]] = []
        self._before: list[Tensor] = []
        self._after: list[Tensor] = []
        self._return: RemovableHandle | None = None

    def __enter__(self) -> None:
        self._arm()

    def __exit__(self, *_error: object) -> None:
        self._lift()
        self._after = [owner[name].detach().clone() for owner, name, _ in self._owners]

    def _on_call(self, module: nn.Module, _inputs: object) -> None:
        if threading.get_ident() != self._thread:
            return
        if module._modules:
            self._keep(module)
            self._lift()
            self._return = module.register_forward_hook(self._on_return)
        elif module._buffers:  # without children it calls no other module
            self._keep(module)

    def _on_return(self, _module: nn.Module, _inputs: object, _outputs: object) -> None:
        if threading.get_ident() != self._thread:
            return
        self._lift()
        self._arm()

    def _arm(self) -> None:
        # What torch's register_module_forward_pre_hook does, but for the handle it returns, which
        # takes longer than all else here.
        _global_forward_pre_hooks[id(self)] = self._on_call

    def _lift(self) -> None:
        _global_forward_pre_hooks.pop(id(self), None)
        if self._return is not None:
            self._return.remove()
            self._return = None

    def _keep(self, module: nn.Module) -> None:
        # Not module.modules(), which spends most of its time on names.
        waiting: list[nn.Module | None] = [module]
        while waiting:
            child = waiting.pop()
            if child is None or child in self._seen:
                continue
            self._seen.add(child)
            # What isinstance takes several times as long for: the wrapper's class is abstract.
            if self._meet and not self._wrappers.isdisjoint(type(child).__mro__):
                self._meet(child)  # before its children's buffers are kept: it may change them
            waiting.extend(child._modules.values())
            for name, buffer in child._buffers.items():
                if buffer is not None:
                    self._owners.append((child._buffers, name, buffer))
                    self._before.append(buffer.detach().clone())

    def restore_before(self) -> None:
        if self._before:
            self._restore(self._before)

    def restore_after(self) -> None:
        if self._after:
            self._restore(self._after)

    def _restore(self, values: list[Tensor]) -> None:
        for owner, name, buffer in self._owners:
            owner[name] = buffer
        # Through .data: a graph kept from a trial must not see its buffers as modified.
        torch._foreach_copy_([buffer.data for _, _, buffer in self._owners], values)


class Replay(AbstractContextManager[None]):
    """Repeats a closure's surroundings: the same random numbers, the same buffers.

    The first call runs under :meth:`first` and has its usual side effects, as an evaluation in any
    training loop does. All further calls run under :meth:`again`, from the same start, and have
    none.

    Args:
        devices: CUDA devices whose random generators are replayed.
        meet: Called with every data-parallel wrapper that the first evaluation is about to call.
    """

    def __init__(self, devices: list[torch.device], meet: Meet | None = None) -> None:
        self._devices = devices
        self._buffers = _Buffers(meet)
        self._before = RandomState(devices)
        self._after = self._before

    def first(self) -> AbstractContextManager[None]:
        """Watch the first evaluation of the iteration."""
        return _First(self)

    def draws(self) -> bool:
        """Tell whether the first evaluation drew random numbers, in any thread."""
        return self._before.differs(self._after)

    # A context by itself, since a generator, or an object made for each time, takes several times
    # as long, and this happens at every pass.

    def again(self) -> AbstractContextManager[None]:
        """Run a further evaluation as if it were the first, and leave no trace."""
        return self

    def __enter__(self) -> None:
        # Autocast keeps converted weights, which are not the present ones.
        torch.clear_autocast_cache()
        self._before.restore()
        self._buffers.restore_before()

    def __exit__(self, *_error: object) -> None:
        self._after.restore()
        self._buffers.restore_after()


@dataclass(slots=True)
class _First(AbstractContextManager[None]):
    replay: Replay

    def __enter__(self) -> None:
        torch.clear_autocast_cache()
        self.replay._buffers.__enter__()

    def __exit__(self, *error: object) -> None:
        self.replay._buffers.__exit__(*error)
        self.replay._after = RandomState(self.replay._devices)
