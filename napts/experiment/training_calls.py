"""What the calls of a network go through while it trains: autocast, and compiled code."""

import copy
import functools
from typing import Any

import torch
from torch import Tensor, nn

from napts.decomposition.compiled import Outermost, compiled, differentiated_once, explained
from napts.decomposition.interception import Outside, is_watched
from napts.decomposition.trees import mapped, tensors_of
from napts.experiment.spec.execution import Execution

_OPTION = "execution.compile"
_WHAT = "the network"


class TrainingCalls(Outside):
    """Calls of a network: plain in evaluation mode, otherwise as the run asks.

    Under autocast, outputs in lower precision are converted back, so a loss is computed in full.

    Compiled code is not used where layers are captured one by one. It always computes with a graph,
    even where none is wanted: a loss has the same bits however it is evaluated.

    Args:
        model: The network.
        execution: How the run runs.
        device: Type of the device, ``"cpu"`` say.
    """

    def __init__(self, model: nn.Module, execution: Execution, device: str) -> None:
        self._model, self._device = model, device
        self._lower = execution.autocast == "bfloat16"
        self._outermost = None
        if execution.compile:
            self._outermost = Outermost(model, functools.partial(compiled(_call), model))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the network."""
        if not self._model.training:
            return self._model._call_impl(*args, **kwargs)
        if not self._lower:
            return self._passed(args, kwargs)
        with torch.autocast(self._device, torch.bfloat16):
            outputs = self._passed(args, kwargs)
        return mapped(_in_full, outputs)

    def _passed(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self._outermost is None or is_watched(self._model):
            return self._model._call_impl(*args, **kwargs)
        with torch.enable_grad(), explained(_OPTION, _WHAT):
            outputs = self._outermost(args, kwargs)
        if not torch.is_grad_enabled():
            return mapped(Tensor.detach, outputs)
        for tensor in tensors_of(outputs):
            differentiated_once(tensor, _OPTION, "a compiled network")
        return outputs


def train_through(model: nn.Module, execution: Execution, example: Any, device: str) -> None:
    """Let the calls of a network go through what the run asks for; its names stay the same.

    Args:
        model: The network.
        execution: How the run runs.
        example: A small input of it.
        device: Type of the device.

    Raises:
        ValueError: The network cannot be compiled in one piece.
    """
    if execution.compile:
        _check(model, example)
    if execution.compile or execution.autocast != "none":
        model._compiled_call_impl = TrainingCalls(model, execution, device)  # pyright: ignore


def _check(model: nn.Module, example: Any) -> None:
    """Check on a copy of a network that it can be compiled, without generating code."""
    try:
        twin = copy.deepcopy(model).train()
        twin(example)
    except Exception:
        return  # only methods that cut the network need such an input
    with explained(_OPTION, _WHAT):
        compiled(_call, generate=False)(twin, (example,), {})


def _call(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return model._call_impl(*args, **kwargs)


def _in_full(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype == torch.bfloat16 else tensor
