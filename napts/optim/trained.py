"""Optimizers whose memories are vectors over the parameters in training, which may change."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor

from napts.optim.described import DescribedOptimizer
from napts.optim.group_options import BY_GROUP
from napts.optim.relayout import Move, identical
from napts.optim.vectors import Layout, blocks_by_kind
from napts.optim.weight_decay import Decay


class VectorOptimizer(DescribedOptimizer):
    """Keeps track of which parameters are trained, and of where they are in its vectors."""

    by_group: ClassVar[Sequence[str]] = BY_GROUP
    """Options that may differ between groups."""

    _layout: Layout | None = None
    _trained_then: Sequence[Tensor] = ()
    _remembered: list[list[int]] | None = None
    _decay: Decay

    def _blocks(self) -> Sequence[Sequence[Tensor]]:
        """Return the trained parameters, block by block; blocks may be empty."""
        groups = [[p for p in g["params"] if p.requires_grad] for g in self.param_groups]
        return [block for group in groups for block in blocks_by_kind(group)]

    def _trained(self) -> list[Tensor]:
        """Return the parameters trained now, in this method's own order."""
        return [p for group in self.param_groups for p in group["params"] if p.requires_grad]

    @abstractmethod
    def _move(self, move: Move, layout: Layout) -> None:
        """Let the memories follow a change of the trained parameters."""

    def _with_shared_options(self, param_group: dict[str, Any]) -> dict[str, Any]:
        """Return a new group with the options of the existing groups, if there are any."""
        if not self.param_groups:
            return param_group
        first = self.param_groups[0]
        shared = {name: first[name] for name in self.defaults if name in first}
        own = {name: self.defaults[name] for name in self.by_group}
        return {**shared, **own, **param_group}

    def _current_layout(self) -> Layout:
        """Return the layout of the parameters that require a gradient now.

        If these have changed, the memories follow.
        """
        trained = self._trained()
        if self._layout is not None and identical(trained, self._trained_then):
            return self._layout
        before, layout = self._last_layout(), Layout(self._blocks())
        self._check_trained(layout.parameters)
        if before is not None and not _alike(before, layout):
            self._move(Move(before, layout), layout)
        self._layout, self._trained_then, self._remembered = layout, trained, None
        self._decay = Decay(self.param_groups, layout)
        return layout

    def _last_layout(self) -> Layout | None:
        """Return the layout of what is remembered."""
        if self._layout is not None or self._remembered is None:
            return self._layout
        parameters = self._all_parameters()
        return Layout([[parameters[index] for index in block] for block in self._remembered])

    def _indices(self) -> list[list[int]] | None:
        """Return the blocks of what is remembered, as places of their parameters in the groups."""
        if self._layout is None:
            return self._remembered
        return self._indices_of(self._layout)

    def _indices_of(self, layout: Layout) -> list[list[int]]:
        places = {id(p): index for index, p in enumerate(self._all_parameters())}
        return [[places[id(p)] for p in block] for block in layout.blocks]

    def _blocks_if_some_are_frozen(self) -> dict[str, Any]:
        """Return the entry of a state that says which parameters its vectors cover."""
        blocks = self._indices()
        everything = blocks is None or sum(map(len, blocks)) == len(self._all_parameters())
        return {} if everything else {"blocks": blocks}

    def _all_parameters(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    @property
    def _anchor(self) -> Tensor:
        # torch keys state by parameter; what belongs to all of them hangs on the first one.
        return self._all_parameters()[0]

    def __getstate__(self) -> dict[str, Any]:
        blocks = {"_remembered": self._indices(), "_layout": None, "_trained_then": []}
        return {**super().__getstate__(), **blocks}


def _alike(first: Layout, second: Layout) -> bool:
    same = len(first.blocks) == len(second.blocks)
    return same and all(map(identical, first.blocks, second.blocks))
