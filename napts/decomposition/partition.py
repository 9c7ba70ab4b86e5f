"""Contiguous layer blocks of equal cost."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from napts.decomposition.costs import Cost, unit_costs
from napts.decomposition.cuts import PartitionError, Unit, trace, units
from napts.decomposition.stages import LayerPartition, Stage


def partition_layers(
    model: nn.Module,
    n_subdomains: int,
    *,
    example_inputs: Tensor | None = None,
    cost: Cost | None = None,
    compile_local: bool = False,
) -> LayerPartition:
    """Cut a network into contiguous blocks of layers, one per subdomain (NAPTS, section 3).

    The model stays whole and is called as ever; only places where a single tensor passes from one
    module to the next are cut, so blocks with skip connections stay together. Among all such
    divisions the one whose most costly block is cheapest is taken.

    Args:
        model: An ``nn.Sequential``, or any model that torch.fx can trace (torchvision's ResNets,
            say), with one input and one output tensor.
        n_subdomains: Number of blocks ``N``, at least 1.
        example_inputs: A batch of inputs; needed to count operations or to measure time.
        cost: What is balanced: ``"parameters"``, ``"flops"`` or ``"seconds"``. By default
            operations if there are example inputs, else parameters.
        compile_local: Compile each block with ``torch.compile`` for its local steps, on CUDA as
            one captured graph; needs a compiler, pays where batches keep their shape. The model
            itself stays as it is. Not for pipelines.

    Returns:
        The subdomains, a sequence of :class:`Stage`.

    Raises:
        PartitionError: (a ``ValueError``) if the model cannot be traced, or has fewer places to
            cut than asked for: every block needs a trainable parameter.
    """
    if n_subdomains < 1:
        raise PartitionError(f"n_subdomains must be at least 1, got {n_subdomains}")
    graph = trace(model)
    divided = _with_parameters(units(model, graph))
    if len(divided) < n_subdomains:
        raise PartitionError(
            f"{type(model).__name__} divides into at most {len(divided)} blocks with trainable "
            f"parameters, {n_subdomains} were asked for"
        )
    cost = cost or ("parameters" if example_inputs is None else "flops")
    costs = unit_costs(model, divided, cost, example_inputs)
    bounds = balance(costs, n_subdomains)
    blocks = [divided[start:stop] for start, stop in pairwise(bounds)]
    stages = [Stage.of(model, graph, block, compile_local=compile_local) for block in blocks]
    return LayerPartition(model, stages)


def balance(costs: Sequence[float], parts: int) -> list[int]:
    """Divide a sequence into contiguous parts with the smallest possible largest sum.

    Among equals the sum of squares decides, so that what remains is even too.

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
        if unit.parameters:
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
