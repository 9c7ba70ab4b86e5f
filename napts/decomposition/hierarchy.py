"""Shallower networks in place of a deep residual one."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, get_args

from torch import Tensor, nn

from napts.decomposition.residual import BLOCKS, stages_in
from napts.optim.multilevel.time_transfers import TRANSFERS, InTime, TimeTransfer
from napts.optim.relayout import identical
from napts.optim.vectors import Layout, blocks_by_kind

_RANDOM = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)


class ResidualHierarchy:
    """A residual network, and shallower ones that can take its place.

    Made by :func:`napts.residual_hierarchy`. The coarser networks have blocks of their own and
    share everything else with the finest one. The shared trained parameters are the same tensors,
    whose values differ from level to level while a method works.

    Args:
        model: The finest network.
        levels: Number of networks.
        transfer: How parameters are transferred from one to the next.
        blocks: The name of the lists of blocks.

    Attributes:
        model: As given.
        depths: Number of blocks of each level, the coarsest first.
        parameters: The trained parameters of the finest network.
        layouts: Where the parameters of each level are: first those that all share, then each
            stage.
        common: How many blocks of those vectors do not belong to stages.
        transfers: Between each level and the next finer one.
    """

    def __init__(
        self, model: nn.Module, levels: int, transfer: TimeTransfer, blocks: str = BLOCKS
    ) -> None:
        self.model = model
        self._blocks = blocks
        self._stages = [module for _, module in stages_in(model, blocks)]
        _check_model(model, self._stages, blocks)
        finest = [_list_of(stage, blocks) for stage in self._stages]
        kind = TRANSFERS[transfer]
        each = [_depths(len(found), levels, transfer, kind) for found in finest]
        self._lists = [
            [
                found if level == levels - 1 else _shallower(found, depths[level])
                for found, depths in zip(finest, each, strict=True)
            ]
            for level in range(levels)
        ]
        self.depths = [sum(depths[level] for depths in each) for level in range(levels)]
        rest = self._rest()
        self.common = len(rest)
        self.layouts = [Layout([*rest, *map(_trained_of, lists)]) for lists in self._lists]
        self.transfers: list[InTime] = [
            kind(self.common, tuple(depths[level] for depths in each))
            for level in range(levels - 1)
        ]
        self.parameters = self.layouts[-1].parameters

    @contextmanager
    def at(self, level: int) -> Iterator[None]:
        """Put the network of a level in place of the finest one, for a while.

        Args:
            level: Its number, 0 for the coarsest.
        """
        self._put(level)
        try:
            yield
        finally:
            self._put(len(self._lists) - 1)

    def _put(self, level: int) -> None:
        for stage, found in zip(self._stages, self._lists[level], strict=True):
            stage._modules[self._blocks] = found

    def follow(self) -> None:
        """Follow the network to another device or type.

        Raises:
            ValueError: Blocks or trained parameters have changed in another way.
        """
        now = [_list_of(stage, self._blocks) for stage in self._stages]
        trained = [p for block in [*self._rest(), *map(_trained_of, now)] for p in block]
        if not identical(trained, self.parameters):
            raise ValueError(
                "the trained parameters have changed since residual_hierarchy() was called: make "
                "the hierarchy and its optimizer anew"
            )
        for lists in self._lists[:-1]:
            for coarse, fine in zip(lists, self._lists[-1], strict=True):
                like = next(fine.parameters())
                mine = next(coarse.parameters())
                if (mine.device, mine.dtype) != (like.device, like.dtype):
                    coarse.to(device=like.device, dtype=like.dtype)

    def _rest(self) -> list[list[Tensor]]:
        """Return the trained parameters that belong to no stage, by device and type."""
        inside = {
            id(p) for lists in self._lists[-1:] for found in lists for p in found.parameters()
        }
        return blocks_by_kind(
            p for p in self.model.parameters() if p.requires_grad and id(p) not in inside
        )


def residual_hierarchy(
    model: nn.Module, levels: int = 3, *, transfer: TimeTransfer = "cell", blocks: str = BLOCKS
) -> ResidualHierarchy:
    """Return a hierarchy of residual networks, for :class:`napts.RMTR`.

    Each level has half as many blocks as the next finer one in every stage; layers outside the
    stages are the same. While a method evaluates a level, the network itself holds that level's
    blocks, so a closure that calls it needs to know nothing about levels.

    Args:
        model: A network with stages: modules (possibly the network itself) with an
            ``nn.ModuleList`` of alike blocks, whose forward goes through that list with a step
            length proportional to ``1 / len(list)``, as :class:`ResidualStage` does.
        levels: Number of levels; the network itself is the finest.
        transfer: ``"cell"`` halves the number of blocks of a stage, with parameters constant on
            cells in time; ``"nodal"`` goes from ``2 n - 1`` to ``n``, linear between nodes and
            projected by injection; ``"nodal-weighted"`` is projected by weights instead.
        blocks: The name of the lists.

    Returns:
        The hierarchy.

    Raises:
        ValueError: The network has no such stage, cannot be halved that often, or has batch
            normalisation or dropout, which make its loss depend on more than its parameters.

    Example:
        >>> model = napts.residual_network(nn.Linear(64, 32), blocks, nn.Linear(32, 10))
        >>> optimizer = napts.RMTR(napts.residual_hierarchy(model, levels=3))
        >>> for inputs, targets in loader:
        ...     loss = optimizer.step(lambda: criterion(model(inputs), targets))
    """
    if not isinstance(levels, int) or isinstance(levels, bool) or levels < 1:
        raise ValueError(f"Invalid levels: {levels}, must be integer >= 1")
    if transfer not in TRANSFERS:
        allowed = ", ".join(get_args(TimeTransfer))
        raise ValueError(f"Invalid transfer: {transfer}, must be one of {allowed}")
    return ResidualHierarchy(model, levels, transfer, blocks)


def _check_model(model: nn.Module, stages: list[Any], blocks: str) -> None:
    name = type(model).__name__
    if not stages:
        raise ValueError(
            f"levels: found {name} without residual blocks, allowed: networks with a list "
            f"`{blocks}` of alike blocks, as napts.ResidualStage has"
        )
    for path, module in model.named_modules():
        off = isinstance(module, _RANDOM) and module.p == 0.0
        if isinstance(module, (nn.modules.batchnorm._BatchNorm, *_RANDOM)) and not off:
            raise ValueError(
                f"levels: found {type(module).__name__} at {path or 'the top'} of {name}, "
                "allowed: networks without batch normalisation and dropout"
            )


def _list_of(stage: nn.Module, blocks: str) -> nn.ModuleList:
    found = stage._modules[blocks]
    assert isinstance(found, nn.ModuleList)
    return found


def _depths(finest: int, levels: int, transfer: str, kind: type[InTime]) -> list[int]:
    """Return the numbers of blocks of a stage, the coarsest first.

    Raises:
        ValueError: It cannot be made shallower that often.
    """
    depths = [finest]
    while (coarser := _coarser(depths[0], kind)) is not None:
        depths.insert(0, coarser)
    if len(depths) < levels:
        raise ValueError(
            f"levels: found {levels}, allowed: 1 to {len(depths)} for a stage of {finest} blocks "
            f"with transfer {transfer!r}, where n blocks are refined to {kind.refined}"
        )
    return depths[len(depths) - levels :]


def _coarser(depth: int, kind: type[InTime]) -> int | None:
    coarser = (depth + 1) // 2
    return coarser if coarser < depth and kind.finer(coarser) == depth else None


def _shallower(found: nn.ModuleList, depth: int) -> nn.ModuleList:
    """Return separate blocks; their initial values are overwritten."""
    return nn.ModuleList(copy.deepcopy(found[index]) for index in range(depth))


def _trained_of(found: nn.ModuleList) -> list[Tensor]:
    """Return the trained parameters of a stage, block by block.

    Raises:
        ValueError: The blocks are not alike, or have no trained parameter.
    """
    each = [[p for p in block.parameters() if p.requires_grad] for block in found]
    shapes = [[p.shape for p in block] for block in each]
    if any(other != shapes[0] for other in shapes):
        raise ValueError(
            "levels: found blocks of one stage with different parameters, allowed: alike ones with "
            "the same parameters trained"
        )
    if not shapes[0]:
        raise ValueError("levels: found blocks without trained parameters, allowed: trained ones")
    if len({id(p) for block in each for p in block}) < len(each) * len(each[0]):
        raise ValueError(
            "levels: found parameters that blocks share, allowed: blocks with their own parameters"
        )
    return [p for block in each for p in block]
