"""Contiguous layer blocks of equal cost, or cut by hand."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, fx, nn
from torch.nn.parallel import DistributedDataParallel

from napts.decomposition.by_hand import cut_by_hand
from napts.decomposition.costs import Cost, unit_costs
from napts.decomposition.cuts import (
    PartitionError,
    Unit,
    cut_after,
    extract,
    returned_by,
    traced,
    units,
    what_helps,
)
from napts.decomposition.stage import Stage
from napts.decomposition.stages import LayerPartition


def partition_layers(
    model: nn.Module,
    n_subdomains: int | None = None,
    *,
    cuts: Sequence[str | nn.Module] | None = None,
    example_inputs: Tensor | None = None,
    cost: Cost | None = None,
    compile_local: bool = False,
) -> LayerPartition:
    """Cut a network into contiguous blocks of layers, one per subdomain (NAPTS, section 3).

    The model stays whole and is called as usual. It is cut only where a single module's output is
    all that is passed on, so blocks with skip connections stay together. Of all such divisions, the
    one with the cheapest most expensive block is taken.

    A model that cannot be divided in this way is cut by hand: each module in ``cuts`` begins a new
    block, and the tensors that it is called with pass from one block to the next. The blocks then
    run through the model's own code, whatever its inputs and outputs.

    Args:
        model: An ``nn.Sequential``, or any model that torch.fx can trace (torchvision's ResNets,
            say), with one required input; with ``cuts``, any model. For a
            ``DistributedDataParallel`` its module is used.
        n_subdomains: Number of blocks ``N``, at least 1; not with ``cuts``.
        cuts: Modules that begin a new block, each called once in a call of the model. They are
            given by name (or the end of a name, if that is unique) or as objects:
            ``["h.3", "h.6"]`` makes three blocks. A parameter belongs to the block in which the
            model lists it.
        example_inputs: A batch of inputs; needed to count operations or to measure time.
        cost: What is balanced: ``"parameters"``, ``"flops"`` or ``"seconds"``. By default
            operations if there are example inputs, otherwise parameters.
        compile_local: Compile each block with ``torch.compile`` for its local steps, on CUDA as
            one captured graph. This needs a compiler, and pays off if batches keep their shape.
            The model itself is unchanged. Not for pipelines, nor with ``cuts``.

    Returns:
        The subdomains, a sequence of :class:`Stage`.

    Raises:
        PartitionError: (a ``ValueError``) if the model cannot be traced, has too few places to cut,
            or lacks a module of ``cuts``; every block needs a trainable parameter.
    """
    if isinstance(model, DistributedDataParallel):
        model = model.module
    if hasattr(model, "_orig_mod"):
        raise PartitionError(
            "cannot partition a model made by torch.compile, whose modules are not called one by "
            "one: partition the original model and call that in the closure, or give compile_local"
        )
    if cuts is not None:
        if n_subdomains is not None or compile_local:
            raise PartitionError("cuts=... cannot be combined with n_subdomains or compile_local")
        return cut_by_hand(model, cuts)
    if n_subdomains is None:
        raise PartitionError("partition_layers needs n_subdomains, or cuts")
    if n_subdomains < 1:
        raise PartitionError(f"n_subdomains must be at least 1, got {n_subdomains}")
    with traced(model) as trace:
        blocks = _blocks(model, trace.graph, n_subdomains, cost, example_inputs)
        ends = [cut_after(model, trace.graph, block) for block in blocks[:-1]]
        stages = [
            Stage(
                module=extract(model, block.nodes) if trace.copies != "none" else None,
                parameter_list=block.parameters,
                names=[name for n in block.nodes if (name := returned_by(n)) is not None],
                mode=model.training if any("training" in n.kwargs for n in block.nodes) else None,
                compile_local=compile_local,
            )
            for block in blocks
        ]
    return LayerPartition(model, stages, ends, trace.copies)


def _blocks(
    model: nn.Module,
    graph: fx.Graph,
    n_subdomains: int,
    cost: Cost | None,
    example_inputs: Tensor | None,
) -> list[Unit]:
    """Divide a graph into blocks of equal cost."""
    divided = _with_parameters(units(model, graph))
    if len(divided) < n_subdomains:
        raise PartitionError(
            f"{type(model).__name__} divides into at most {len(divided)} blocks with trainable "
            f"parameters, but {n_subdomains} were asked for; {what_helps(model)}"
        )
    cost = cost or ("parameters" if example_inputs is None else "flops")
    costs = unit_costs(model, divided, cost, example_inputs)
    bounds = balance(costs, n_subdomains)
    return [_join(divided[start:stop]) for start, stop in pairwise(bounds)]


def balance(costs: Sequence[float], parts: int) -> list[int]:
    """Divide a sequence into contiguous parts with the smallest possible largest sum.

    Among equals the smallest sum of squares decides, so that the other parts are even too.

    Args:
        costs: Non-negative costs, at least as many as parts.
        parts: Number of non-empty parts.

    Returns:
        ``parts + 1`` bounds, from 0 to ``len(costs)``.
    """
    total = [0.0]
    for value in costs:
        total.append(total[-1] + value)
    # best[j] = (largest sum, sum of squares, bounds) over divisions of costs[:j]
    best = {j: (total[j], total[j] ** 2, [0, j]) for j in range(1, len(costs) + 1)}
    for part in range(2, parts + 1):
        best = {
            j: min(
                (max(m, total[j] - total[i]), q + (total[j] - total[i]) ** 2, [*bounds, j])
                for i, (m, q, bounds) in best.items()
                if i < j
            )
            for j in range(part, len(costs) + 1)
        }
    return best[len(costs)][2]


def _with_parameters(divided: list[Unit]) -> list[Unit]:
    """Join units without trainable parameters to the one before (leading ones to the next)."""
    joined: list[Unit] = []
    pending: list[Unit] = []
    for unit in divided:
        if unit.trained:
            joined.append(_join([*pending, unit]))
            pending = []
        elif joined:
            joined[-1] = _join([joined[-1], unit])
        else:
            pending.append(unit)
    return joined


def _join(divided: Sequence[Unit]) -> Unit:
    nodes = [node for unit in divided for node in unit.nodes]
    parameters = [p for unit in divided for p in unit.parameters]
    return Unit(nodes, parameters)
