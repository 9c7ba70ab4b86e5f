"""Where a network can be cut: units that exchange a single tensor with their neighbours."""

import copy
import inspect
import operator
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.fx.node import map_arg

from napts.decomposition.consistency import Copies
from napts.decomposition.visits import Cut

_MADE = "_tensor_constant"
_RETURNED_BY = "returned by"
_COLLECTIONS = (dict, list, set)


class PartitionError(ValueError):
    """The network cannot be divided as asked."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece of the network that is never divided.

    Attributes:
        nodes: Its operations, in order of execution.
        parameters: Its parameters, including frozen ones.
    """

    nodes: list[fx.Node]
    parameters: list[nn.Parameter]

    @property
    def trained(self) -> list[nn.Parameter]:
        """The parameters that require a gradient now."""
        return [p for p in self.parameters if p.requires_grad]


class _Tracer(fx.Tracer):
    """Traces through containers and the user's own modules, or only through containers."""

    def __init__(self, *, deep: bool) -> None:
        super().__init__()
        self._deep = deep

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if isinstance(m, nn.Sequential):
            return False
        return super().is_leaf_module(m, module_qualified_name) if self._deep else True

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        """Trace a call; mark what a user's own layer returns as its output."""
        found = super().call_module(m, forward, args, kwargs)
        name = self.path_of_module(m)
        if _is_own_layer(m) and not self.is_leaf_module(m, name) and isinstance(found, fx.Proxy):
            found.node.meta[_RETURNED_BY] = name
        return found


def _is_own_layer(module: nn.Module) -> bool:
    """Tell whether a module has parameters, and no modules inside."""
    own = next(module.parameters(recurse=False), None)
    return own is not None and next(module.children(), None) is None


def returned_by(node: fx.Node) -> str | None:
    """Return the name of the module whose output a node is, if any."""
    return str(node.target) if node.op == "call_module" else node.meta.get(_RETURNED_BY)


@dataclass(frozen=True, slots=True)
class Traced:
    """A network's graph.

    Attributes:
        graph: Its operations, with modules of torch.nn as single ones.
        copies: Whether its operations represent the model; not if its forward makes tensors, which
            a trace makes once and for all.
    """

    graph: fx.Graph
    copies: Copies


@contextmanager
def traced(model: nn.Module) -> Iterator[Traced]:
    """Trace a network with its optional inputs left at their defaults.

    If a model has control flow inside its own submodules, these are traced as single operations.
    Tensors that its forward makes (``torch.randn``, say) are put on the model by the tracer; they
    stay there as long as this is open.

    Raises:
        PartitionError: If the model's own ``forward`` cannot be traced.
    """
    before = set(vars(model))
    kept = _Kept(model)
    made: set[str] = set()
    try:
        try:
            graph = _traced(model)
        finally:
            made = {name for name in set(vars(model)) - before if name.startswith(_MADE)}
            kept.put_back({(id(model), name) for name in made})
        yield Traced(graph, "none" if made else _copies(model, graph))
    finally:
        for name in made:
            delattr(model, name)


def _copies(model: nn.Module, graph: fx.Graph) -> Copies:
    """Tell whether a graph consists only of the modules of some `nn.Sequential` in a row."""
    calls = [node for node in graph.nodes if node.op not in ("placeholder", "output")]
    if any(node.op != "call_module" for node in calls):
        return "possible"
    around = {str(node.target).rpartition(".")[0] for node in calls}
    around |= {name for path in list(around) for name in _prefixes(path)}
    plain = (
        type(module).forward is nn.Sequential.forward and "forward" not in vars(module)
        for module in (model.get_submodule(name) for name in around | {""})
    )
    return "trusted" if all(plain) else "possible"


def _prefixes(path: str) -> list[str]:
    parts = path.split(".")
    return [".".join(parts[:end]) for end in range(len(parts))]


class _Kept:
    """The attributes of all modules of a model, with what is in their containers and buffers.

    Args:
        model: The model.
    """

    def __init__(self, model: nn.Module) -> None:
        self._modules = [(module, dict(vars(module))) for module in model.modules()]
        containers = (v for _, own in self._modules for v in own.values())
        self._contents = [(v, copy.copy(v)) for v in containers if isinstance(v, _COLLECTIONS)]
        self._buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]

    def put_back(self, apart: set[tuple[int, str]]) -> None:
        """Undo what a traced forward has done to the modules: it has run, but not on real tensors.

        Args:
            apart: New attributes to keep, by module and name.
        """
        for module, own in self._modules:
            now = vars(module)
            for name in [n for n in now if n not in own and (id(module), n) not in apart]:
                del now[name]
            now.update(own)
        for container, contents in self._contents:
            container.clear()
            (container.extend if isinstance(container, list) else container.update)(contents)
        with torch.no_grad():
            for buffer, value in self._buffers:
                buffer.copy_(value)


def _traced(model: nn.Module) -> fx.Graph:
    try:
        return _without_defaults(model, deep=True)
    except Exception:
        try:
            return _without_defaults(model, deep=False)
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise PartitionError(
                f"cannot partition {type(model).__name__}: torch.fx cannot trace its forward "
                f"({reason}); {what_helps(model)}"
            ) from error


def _without_defaults(model: nn.Module, *, deep: bool) -> fx.Graph:
    """Trace with optional inputs replaced by their default values."""
    parameters = inspect.signature(model.forward).parameters.values()
    empty = inspect.Parameter.empty
    defaults = {p.name: p.default for p in parameters if p.default is not empty}
    with warnings.catch_warnings():
        # That a default cannot be asserted; blocks are compared with the model.
        warnings.filterwarnings("ignore", "Was not able to add assertion")
        graph = _Tracer(deep=deep).trace(model, defaults)
    for node in reversed(graph.nodes):
        if _is_about_inputs(node):
            graph.erase_node(node)
    return graph


def _is_about_inputs(node: fx.Node) -> bool:
    """Tell whether a node only checks that an optional input has its default value."""
    checks = node.op == "call_function" and "assert" in getattr(node.target, "__name__", "")
    compares = node.op == "call_function" and node.target is operator.eq
    of_inputs = all(n.op == "placeholder" or n.target is operator.eq for n in node.all_input_nodes)
    return (checks or compares) and not node.users and of_inputs and bool(node.all_input_nodes)


def what_helps(model: nn.Module) -> str:
    """Return what to do with a model that cannot be cut, with names of its own modules."""
    repeated = [
        [f"{name}.{child}" if name else child for child in _weighted_children(module)]
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList | nn.Sequential)
    ]
    longest = max(repeated, key=len, default=[])
    example = "partition_layers(model, cuts=['NAME_OF_A_MODULE', ...])"
    if len(longest) > 1:
        example = f"partition_layers(model, cuts=['{longest[len(longest) // 2]}'])"
    return (
        f"cut it by hand, for example {example}: each named module begins a new block; "
        "TR, NTR and APTSW take any model"
    )


def _weighted_children(module: nn.Module) -> list[str]:
    """Return the names of a module's children that have trainable parameters."""
    return [
        name
        for name, child in module.named_children()
        if any(p.requires_grad for p in child.parameters())
    ]


def units(model: nn.Module, graph: fx.Graph) -> list[Unit]:
    """Divide the graph at every place where the outputs of one module are all that crosses.

    A place counts if the tensor is the output of a module (so that it can be captured), if no
    parameter is used on both sides, if what follows does not overwrite the tensor in place, and if
    the module is not part of another one that is a single operation in the graph.

    Args:
        model: The traced network.
        graph: Its graph.

    Returns:
        The units, in order of execution.

    Raises:
        PartitionError: If the network has several inputs, or trainable parameters that its forward
            does not use.
    """
    inputs = [node for node in graph.nodes if node.op == "placeholder" and node.users]
    if len(inputs) != 1:
        names = ", ".join(node.name for node in inputs)
        raise PartitionError(
            f"the model's forward must have one input, found: {names or 'none'}; "
            f"{what_helps(model)}"
        )
    nodes = [node for node in graph.nodes if node.op not in ("placeholder", "output")]
    used = {id(p): p for node in nodes for p in _parameters(model, node)}
    unused = [n for n, p in model.named_parameters() if p.requires_grad and id(p) not in used]
    if unused:
        raise PartitionError(
            f"parameters not used by the model's forward: {', '.join(unused)}; freeze them "
            "(requires_grad_(False))"
        )
    hidden = _inside_leaves(model, nodes)
    groups: list[list[fx.Node]] = [[]]
    for index, node in enumerate(nodes):
        groups[-1].append(node)
        if index + 1 < len(nodes) and _is_cut(model, nodes, index, hidden):
            groups.append([])
    return [Unit(group, _own(model, group)) for group in groups]


def _inside_leaves(model: nn.Module, nodes: list[fx.Node]) -> set[int]:
    """Return the modules inside single operations, whose calls the graph does not show."""
    leaves = {str(node.target) for node in nodes if node.op == "call_module"}
    return {
        id(child)
        for name in leaves
        for child in model.get_submodule(name).modules()
        if child is not model.get_submodule(name)
    }


def _is_cut(model: nn.Module, nodes: list[fx.Node], index: int, hidden: set[int]) -> bool:
    node, before, after = nodes[index], nodes[: index + 1], nodes[index + 1 :]
    later = set(after)
    crossing = {n for n in before if any(user in later or user.op == "output" for user in n.users)}
    inputs = {i for n in after for i in n.all_input_nodes if i.op == "placeholder"}
    name = returned_by(node)
    if name is None or crossing != {node} or inputs:
        return False
    if id(model.get_submodule(name)) in hidden:
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
    return found


def _own(model: nn.Module, nodes: list[fx.Node]) -> list[nn.Parameter]:
    return list(dict.fromkeys(p for node in nodes for p in _parameters(model, node)))


def cut_after(model: nn.Module, graph: fx.Graph, block: Unit) -> Cut:
    """Return the place where a block of the graph ends."""
    last = block.nodes[-1]
    name = returned_by(last)
    assert name is not None  # that is where units end
    module = model.get_submodule(name)
    calls = [node for node in graph.nodes if _is(model, node, module)]
    return Cut(module, name, calls.index(last))


def _is(model: nn.Module, node: fx.Node, module: nn.Module) -> bool:
    """Tell whether a node is what a module returned, under any of its names."""
    name = returned_by(node)
    return name is not None and model.get_submodule(name) is module


def extract(model: nn.Module, nodes: list[fx.Node]) -> nn.Module:
    """Return a module that runs some consecutive units; it shares the model's submodules.

    Args:
        model: The network.
        nodes: The operations of the units, in order; their only input from outside is what one
            module returned.

    Returns:
        A module from that input to the last operation's result or, for the last units, to what the
        model returns.
    """
    inside = set(nodes)
    piece = fx.Graph()
    entry = piece.placeholder("inputs")
    copies: dict[fx.Node, fx.Node] = {}

    def copied(node: fx.Node) -> fx.Node:
        return copies[node] if node in inside else entry

    for node in nodes:
        copies[node] = piece.node_copy(node, copied)
    ends = [node for node in nodes[-1].graph.nodes if node.op == "output"]
    is_last = ends[0].prev is nodes[-1]
    result = map_arg(ends[0].args[0], copied) if is_last else copies[nodes[-1]]
    piece.output(result)
    module = fx.GraphModule(model, piece)
    # Not module.train(), which would set the modes of the model's own submodules.
    module.training = model.training
    return module
