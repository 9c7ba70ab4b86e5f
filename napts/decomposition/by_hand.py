"""Blocks that begin where the user chooses."""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from napts.decomposition.cuts import PartitionError
from napts.decomposition.stage import Stage
from napts.decomposition.stages import LayerPartition
from napts.decomposition.visits import Cut


def cut_by_hand(model: nn.Module, cuts: Sequence[str | nn.Module]) -> LayerPartition:
    """Cut a model before some of its modules.

    Parameters are dealt to the blocks in the order in which the model lists its modules, which is
    usually the order in which they are called.

    Args:
        model: Any model.
        cuts: The modules that begin a new block, given by name or as objects.

    Raises:
        PartitionError: If one is not in the model or is named twice, or if a block has no trainable
            parameter.
    """
    names = list(dict(model.named_modules()))
    starts = sorted({names.index(_name_of(model, names, cut)) for cut in cuts})
    if len(starts) != len(cuts):
        raise PartitionError(f"cuts names a module twice: {', '.join(map(str, cuts))}")
    bounds = [0, *starts, len(names)]
    stages = [_stage(model, names[start:stop]) for start, stop in pairwise(bounds)]
    dealt: set[int] = set()
    for index, stage in enumerate(stages):
        stage.parameter_list = [p for p in stage.parameter_list if id(p) not in dealt]
        dealt |= {id(p) for p in stage.parameter_list}
        if not stage.parameters():
            first = names[bounds[index]] or "the model's beginning"
            raise PartitionError(
                f"the block that begins with {first} has no trainable parameter; leave that cut out"
            )
    ends = [Cut(model.get_submodule(names[at]), names[at], before=True) for at in starts]
    return LayerPartition(model, stages, ends, "none")


def _stage(model: nn.Module, names: Sequence[str]) -> Stage:
    modules = [model.get_submodule(name) for name in names]
    own = [p for module in modules for p in module.parameters(recurse=False)]
    shown = [name for name, m in zip(names, modules, strict=True) if name and not any(m.children())]
    return Stage(None, list(dict.fromkeys(own)), shown or list(names))


def _name_of(model: nn.Module, names: Sequence[str], cut: str | nn.Module) -> str:
    """Return the full name of a module; for a shared one, the first name.

    Raises:
        PartitionError: If it is not in the model, or a shortened name fits several.
    """
    if isinstance(cut, nn.Module):
        found = [name for name in names if model.get_submodule(name) is cut]
    else:
        every = dict(model.named_modules(remove_duplicate=False))
        fitting = [cut] if cut in every else [name for name in every if name.endswith(f".{cut}")]
        first = {id(model.get_submodule(name)): name for name in names}
        found = list(dict.fromkeys(first[id(every[name])] for name in fitting))
    shown = cut if isinstance(cut, str) else type(cut).__name__
    if len(found) != 1 or not found[0]:
        kinds = f"fits {', '.join(found)}" if len(found) > 1 else "is not a module inside the model"
        raise PartitionError(f"Invalid cut: {shown} {kinds}, allowed: a name of named_modules()")
    return found[0]
