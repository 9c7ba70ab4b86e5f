"""Parameter groups, whose options take effect when they are edited."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, ClassVar, Protocol

from napts.optim.signature import Definitions, check
from napts.optim.weight_decay import check_weight_decay

Group = dict[str, Any]

BY_GROUP = ("weight_decay",)
"""Options that may differ between the groups of any method."""


class HasDefinitions(Protocol):
    """A class whose options are defined.

    Attributes:
        definitions: The options, by name.
        by_group: Those that may differ between groups.
    """

    definitions: ClassVar[Definitions]
    by_group: ClassVar[Sequence[str]]


class GroupOptions:
    """What was last taken over from an optimizer's parameter groups.

    Args:
        optimizer: The optimizer's class, which knows the options.
        names: The options that all groups share.
    """

    def __init__(self, optimizer: "type[HasDefinitions]", names: Collection[str]) -> None:
        self._optimizer = optimizer
        own = ("lr", *optimizer.by_group)
        self.names = tuple(name for name in names if name not in own)
        self._seen: list[Group] = []

    def note(self, groups: Sequence[Group]) -> None:
        """Take the groups as they are."""
        self._seen = [dict(group) for group in groups]

    def unchanged(self, groups: Sequence[Group]) -> bool:
        """Tell whether nothing was edited; takes about a microsecond per group."""
        seen = self._seen
        if len(groups) != len(seen):
            return False
        for group, before in zip(groups, seen, strict=True):
            # First whether the list is still that one: lists of tensors cannot be compared.
            if group["params"] is not before["params"] or group != before:
                return False
        return True

    def update_from(self, groups: Sequence[Group]) -> set[str]:
        """Check edited groups, and take them over.

        An edit of the first group alone applies to all.

        Returns:
            The names of the options of the method that have changed.

        Raises:
            ValueError: If an option is out of range, or differs between groups.
        """
        first, before = groups[0], self._seen[0]
        changed = {name for name in self.names if first[name] != before[name]}
        for index, other in enumerate(groups[1:], 1):
            for name in self.names:
                if other[name] != first[name] and other[name] != before[name]:
                    self._refuse(name, index, first[name], other[name])
            if other["lr"] != first["lr"]:
                self._refuse("lr", index, first["lr"], other["lr"])
        self._check(groups, changed)
        for group in groups:
            group.update({name: first[name] for name in self.names})
        self.note(groups)
        return changed

    def _check(self, groups: Sequence[Group], changed: Collection[str]) -> None:
        options = {name: groups[0][name] for name in self.names}
        low, high = options["radius_min"], options["radius_max"]
        if low > high:
            raise ValueError(f"Invalid radius_min: {low}, must be at most radius_max = {high}")
        if "radius" not in changed:
            # It is the one of the beginning, which later bounds need not hold.
            options["radius"] = min(max(low, options["radius"]), high)
        check_lr(groups[0]["lr"])
        for group in groups:
            check_weight_decay(group["weight_decay"])
        largest = max(group["weight_decay"] for group in groups)
        by_group = self._optimizer.by_group
        if changed or any(g[n] != b[n] for g, b in self._pairs(groups) for n in by_group):
            for group in groups:
                own = {name: group[name] for name in by_group}
                check({**options, **own, "weight_decay": largest}, self._optimizer.definitions)
        shrinkage = float(groups[0]["lr"]) * largest
        if options["decoupled_weight_decay"] and shrinkage > 1.0:
            raise ValueError(
                f"Invalid weight_decay: lr * weight_decay is {shrinkage}, must be at most 1 if it "
                "is decoupled"
            )

    def _pairs(self, groups: Sequence[Group]) -> Iterator[tuple[Group, Group]]:
        """Return each group with its former options; new groups with those of the first."""
        first = self._seen[0]
        return ((g, b or first) for g, b in zip_longest(groups, self._seen) if g is not None)

    def _refuse(self, name: str, index: int, first: Any, other: Any) -> None:
        raise ValueError(
            f"Invalid parameter groups: {name} cannot differ between groups, found {first} in "
            f"group 0 and {other} in group {index}; {self._optimizer.__name__} has one trust "
            "region, so set it alike in all groups"
        )


def check_group(method: str, group: Group, by_group: Sequence[str]) -> None:
    """Check that a further group sets no option that all groups share.

    Args:
        method: The method's name.
        group: The group.
        by_group: Options that it may set.

    Raises:
        ValueError: If it does, or its weight decay is out of range.
    """
    extra = sorted(set(group) - {"params", "param_names", *by_group})
    if extra:
        raise ValueError(
            f"Invalid parameter group: {', '.join(extra)} cannot differ between groups, "
            f"{method} has one trust region"
        )
    if "weight_decay" in group:
        check_weight_decay(group["weight_decay"])


def check_radius(value: float, low: float, high: float) -> None:
    """Check a radius that is set by hand.

    Raises:
        ValueError: If it is out of bounds.
    """
    if not low <= value <= high:
        raise ValueError(f"Invalid radius: {value}, must lie in [{low}, {high}]")


def check_lr(value: Any) -> None:
    """Check the schedulers' factor.

    Raises:
        ValueError: If it is negative or not finite.
    """
    if not 0.0 <= float(value) < math.inf:
        raise ValueError(
            f"Invalid lr: {float(value)}, must be at least 0 and finite: it is a factor on "
            "the radius or its largest value, not a learning rate"
        )


def completed(groups: Sequence[Group], known: Mapping[str, Any], names: Collection[str]) -> None:
    """Fill in the options that loaded groups lack, and give all groups the first one's.

    Args:
        groups: The groups, as an older version may have saved them.
        known: Values of all options.
        names: Options that the groups share.
    """
    for group in groups:
        for name, value in known.items():
            if name != "params":
                group.setdefault(name, value)
        group.update({name: groups[0][name] for name in names})
