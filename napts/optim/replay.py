"""Replay: makes a closure a function of the parameters for the length of one iteration.

Dropout masks and BatchNorm statistics would otherwise change from one evaluation to the next, and
a ratio of reductions would compare two different functions.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.utils.hooks import RemovableHandle


class RandomState:
    """The state of torch's random generators on the CPU and on the given CUDA devices.

    Args:
        devices: CUDA devices whose generators count.
    """

    def __init__(self, devices: list[torch.device]) -> None:
        self._cpu = torch.get_rng_state()
        self._cuda = [(device, torch.cuda.get_rng_state(device)) for device in devices]

    def restore(self) -> None:
        """Set the generators to this state."""
        torch.set_rng_state(self._cpu)
        for device, state in self._cuda:
            torch.cuda.set_rng_state(state, device)


class _Buffers:
    """Values of the buffers of all modules that the closure calls, found by watching it."""

    def __init__(self) -> None:
        self._seen: set[nn.Module] = set()
        self._owners: list[tuple[dict[str, Any], str, Tensor]] = []
        self._before: list[Tensor] = []
        self._after: list[Tensor] = []

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Keep the buffers of every module that is called, as they were before its call.

        Torch calls modules more slowly while a hook for all of them is set. An outermost module
        brings its children with it, so the hook is lifted until that module returns.
        """
        handles: list[RemovableHandle] = []

        def on_call(module: nn.Module, _inputs: object) -> None:
            self._keep(module)
            handles.pop().remove()
            handles.append(module.register_forward_hook(on_return))

        def on_return(_module: nn.Module, _inputs: object, _outputs: object) -> None:
            handles.pop().remove()
            handles.append(register_module_forward_pre_hook(on_call))

        handles.append(register_module_forward_pre_hook(on_call))
        try:
            yield
        finally:
            handles.pop().remove()
            self._after = [owner[name].detach().clone() for owner, name, _ in self._owners]

    def _keep(self, module: nn.Module) -> None:
        for child in module.modules():
            if child in self._seen:
                continue
            self._seen.add(child)
            owned = [(child._buffers, n, b) for n, b in child._buffers.items() if b is not None]
            self._owners += owned
            self._before += [buffer.detach().clone() for _, _, buffer in owned]

    def restore_before(self) -> None:
        self._restore(self._before)

    def restore_after(self) -> None:
        self._restore(self._after)

    def _restore(self, values: list[Tensor]) -> None:
        if not values:
            return
        for owner, name, buffer in self._owners:
            owner[name] = buffer
        # Through .data: a graph kept from a trial must not see its buffers as modified.
        torch._foreach_copy_([buffer.data for _, _, buffer in self._owners], values)


class Replay:
    """Repeats a closure's surroundings: the same random numbers, the same buffers.

    The first call runs under :meth:`first` and leaves its marks, as one evaluation in any training
    loop does. All further calls run under :meth:`again`, from the same start, and leave none.

    Args:
        devices: CUDA devices whose random generators are replayed.
    """

    def __init__(self, devices: list[torch.device]) -> None:
        self._devices = devices
        self._buffers = _Buffers()
        self._before = RandomState(devices)
        self._after = self._before

    @contextmanager
    def first(self) -> Iterator[None]:
        """Watch the first evaluation of the iteration."""
        with self._buffers.watch():
            yield
        self._after = RandomState(self._devices)

    @contextmanager
    def again(self) -> Iterator[None]:
        """Run a further evaluation as if it were the first one, and leave no trace."""
        self._before.restore()
        self._buffers.restore_before()
        try:
            yield
        finally:
            self._after.restore()
            self._buffers.restore_after()


def cuda_devices(tensors: list[Tensor]) -> list[torch.device]:
    """Return the CUDA devices that hold some of the tensors, in order of appearance."""
    return list(dict.fromkeys(t.device for t in tensors if t.device.type == "cuda"))
