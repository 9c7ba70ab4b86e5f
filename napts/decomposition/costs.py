"""What a unit of the network costs: counted or measured, so that subdomains can be balanced."""

import time
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from napts.decomposition.cuts import PartitionError, Unit, extract
from napts.decomposition.trees import differentiable, mapped, tensors_of

Cost = Literal["parameters", "flops", "seconds"]
_REPEATS = 3


def unit_costs(
    model: nn.Module, units: Sequence[Unit], cost: Cost, example_inputs: Tensor | None
) -> list[float]:
    """Return the cost of each unit.

    Args:
        model: The network.
        units: Its units, in order.
        cost: ``"parameters"`` counts trainable parameters; ``"flops"`` counts the floating point
            operations of a forward pass; ``"seconds"`` measures a forward and backward (best of
            3).
        example_inputs: A batch of inputs; needed unless parameters are counted.

    Returns:
        One number per unit, at least 0.

    Raises:
        PartitionError: If ``cost`` is unknown, or needs example inputs that are not given.
    """
    if cost == "parameters":
        return [float(sum(p.numel() for p in unit.trained)) for unit in units]
    if cost not in ("flops", "seconds"):
        raise PartitionError(f"cost must be parameters, flops or seconds, got {cost!r}")
    if example_inputs is None:
        raise PartitionError(f"cost={cost!r} needs example_inputs, a batch of inputs")
    state = torch.get_rng_state()
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    try:
        return _walk(model, units, cost, example_inputs)
    finally:
        torch.set_rng_state(state)
        for name, buffer in model.named_buffers():
            buffer.copy_(buffers[name])


def _walk(model: nn.Module, units: Sequence[Unit], cost: Cost, inputs: Tensor) -> list[float]:
    costs: list[float] = []
    current: Any = inputs.detach()
    for unit in units:
        piece = extract(model, unit.nodes)
        measure = _flops if cost == "flops" else _seconds
        costs.append(measure(piece, current))
        with torch.no_grad():
            current = piece(current)
    return costs


def _flops(piece: nn.Module, inputs: Any) -> float:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        piece(inputs)
    return float(counter.get_total_flops())


def _seconds(piece: nn.Module, inputs: Any) -> float:
    return min(_once(piece, inputs) for _ in range(_REPEATS))


def _once(piece: nn.Module, inputs: Any) -> float:
    # Copies with a gradient: the backward pass then reaches the input, as in training.
    entry = mapped(_copied, inputs)
    entries = [tensor for tensor in tensors_of(entry) if tensor.requires_grad]
    device = tensors_of(entry)[0].device
    _wait_for(device)
    start = time.perf_counter()
    _, outputs = differentiable(piece(entry))
    if outputs:
        wanted = [*(p for p in piece.parameters() if p.requires_grad), *entries]
        ones = [torch.ones_like(tensor) for tensor in outputs]
        torch.autograd.grad(outputs, wanted, ones, allow_unused=True)
    _wait_for(device)
    return time.perf_counter() - start


def _copied(tensor: Tensor) -> Tensor:
    return tensor.clone().requires_grad_(tensor.is_floating_point())


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
