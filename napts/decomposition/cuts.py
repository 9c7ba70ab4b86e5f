"""Where a network can be cut: units that exchange one tensor with what comes before and after."""

import operator
from dataclasses import dataclass

from torch import fx, nn


class PartitionError(ValueError):
    """The network cannot be divided as asked."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece of the network that is never divided.

    Attributes:
        nodes: Its operations, in order of execution.
        parameters: Its trainable parameters.
    """

    nodes: list[fx.Node]
    parameters: list[nn.Parameter]


class _Tracer(fx.Tracer):
    """Traces through containers and the user's own modules, or only through containers."""

    def __init__(self, *, deep: bool) -> None:
        super().__init__()
        self._deep = deep

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if isinstance(m, nn.Sequential):
            return False
        return super().is_leaf_module(m, module_qualified_name) if self._deep else True


def trace(model: nn.Module) -> fx.Graph:
    """Return the network's graph, with modules of torch.nn as single operations.

    A model with control flow inside its own submodules is traced with these as single operations.

    Raises:
        PartitionError: If the model's own ``forward`` cannot be traced.
    """
    try:
        return _Tracer(deep=True).trace(model)
    except Exception:
        try:
            return _Tracer(deep=False).trace(model)
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise PartitionError(
                f"cannot partition {type(model).__name__}: torch.fx cannot trace its forward "
                f"({reason}); give an nn.Sequential, or a model whose forward has no control flow "
                "that depends on data"
            ) from error


def units(model: nn.Module, graph: fx.Graph) -> list[Unit]:
    """Divide the graph at every place where exactly one tensor crosses.

    A place counts if the tensor is the output of a module (so that a hook can catch it), if no
    parameter is used on both sides, and if what follows does not overwrite it in place.

    Args:
        model: The traced network.
        graph: Its graph.

    Returns:
        The units, in order of execution.

    Raises:
        PartitionError: If the network has several inputs or outputs that are not tensors, or
            trainable parameters that its forward does not use.
    """
    inputs = [node for node in graph.nodes if node.op == "placeholder" and node.users]
    if len(inputs) != 1:
        names = ", ".join(node.name for node in inputs)
        raise PartitionError(f"the model's forward must have one input, found: {names or 'none'}")
    nodes = [node for node in graph.nodes if node.op not in ("placeholder", "output")]
    used = {id(p): p for node in nodes for p in _parameters(model, node)}
    unused = [n for n, p in model.named_parameters() if p.requires_grad and id(p) not in used]
    if unused:
        raise PartitionError(f"parameters not used by the model's forward: {', '.join(unused)}")
    groups: list[list[fx.Node]] = [[]]
    for index, node in enumerate(nodes):
        groups[-1].append(node)
        if index + 1 < len(nodes) and _is_cut(model, nodes, index):
            groups.append([])
    return [Unit(group, _trainable(model, group)) for group in groups]


def _is_cut(model: nn.Module, nodes: list[fx.Node], index: int) -> bool:
    node, before, after = nodes[index], nodes[: index + 1], nodes[index + 1 :]
    later = set(after)
    crossing = {n for n in before if any(user in later or user.op == "output" for user in n.users)}
    inputs = {i for n in after for i in n.all_input_nodes if i.op == "placeholder"}
    if node.op != "call_module" or crossing != {node} or inputs:
        return False
    if any(_in_place(model, user) for user in node.users):
        return False
    shared = {id(p) for n in before for p in _parameters(model, n)}
    return not any(id(p) in shared for n in after for p in _parameters(model, n))


def _in_place(model: nn.Module, node: fx.Node) -> bool:
    if node.op == "call_module":
        return bool(getattr(model.get_submodule(str(node.target)), "inplace", False))
    if node.op == "call_method":
        return str(node.target).endswith("_")
    name = getattr(node.target, "__name__", "")
    augmented = getattr(operator, name, None) is node.target and name.startswith("i")
    return augmented or bool(node.kwargs.get("inplace")) or name.endswith("_")


def _parameters(model: nn.Module, node: fx.Node) -> list[nn.Parameter]:
    if node.op == "call_module":
        found = list(model.get_submodule(str(node.target)).parameters())
    elif node.op == "get_attr":
        owner, _, name = str(node.target).rpartition(".")
        value = getattr(model.get_submodule(owner), name)
        found = [value] if isinstance(value, nn.Parameter) else []
    else:
        found = []
    return [p for p in found if p.requires_grad]


def _trainable(model: nn.Module, nodes: list[fx.Node]) -> list[nn.Parameter]:
    return list(dict.fromkeys(p for node in nodes for p in _parameters(model, node)))


def extract(model: nn.Module, nodes: list[fx.Node]) -> nn.Module:
    """Return a module that runs some consecutive units; it shares the model's submodules.

    Args:
        model: The network.
        nodes: The operations of the units, in order; all they take from outside is one tensor.

    Returns:
        A module from that tensor to the last operation's result.
    """
    inside = set(nodes)
    piece = fx.Graph()
    entry = piece.placeholder("inputs")
    copies: dict[fx.Node, fx.Node] = {}
    for node in nodes:
        copies[node] = piece.node_copy(node, lambda n: copies[n] if n in inside else entry)
    piece.output(copies[nodes[-1]])
    module = fx.GraphModule(model, piece)
    module.train(model.training)
    return module
