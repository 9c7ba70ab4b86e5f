"""The definition of an option, in one place: default, range, meaning."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import reduce
from operator import or_
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from napts.optim.interval import Interval


class Unset(Enum):
    """Stands for what is not given."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "UNSET"


UNSET = Unset.UNSET

Rule = Callable[[Mapping[str, Any]], str | None]
"""Says what an option must be given the others, as ``"must be below 1"``; ``None`` if it is."""


@dataclass(frozen=True, slots=True)
class ByNorm:
    """A default that depends on the norm; in signatures it is ``None``.

    Attributes:
        l2: The value for the 2-norm.
        inf: The value for the infinity norm.
    """

    l2: float
    inf: float

    def of(self, norm: Any) -> float:
        """Return the value for a norm; for anything else, the value for the 2-norm."""
        return self.inf if isinstance(norm, str) and norm == "inf" else self.l2

    def __str__(self) -> str:
        return f'{self.l2:g} for "l2", {self.inf:g} for "inf"'


@dataclass(frozen=True, slots=True)
class Option:
    """What stands beside the type of an option, as in ``Annotated[float, Option(0.5, "...")]``.

    Attributes:
        default: Its default; omitted where a signature has it.
        meaning: What it does, its unit, and where its default comes from.
        within: The interval that the number must lie in, or each number of a sequence.
        rule: What it must be, given the others.
        in_specs: Its default in specs, if that differs.
        before: The value that runs had before the option existed. At this value it is not part of
            the run key, so that old and new runs of one setting are the same run.
        noun: What the numbers of a sequence are called in errors.
    """

    default: Any = UNSET
    meaning: str = ""
    within: str | None = None
    rule: Rule | None = None
    in_specs: Any = UNSET
    before: Any = UNSET
    noun: str = ""

    @property
    def interval(self) -> Interval | None:
        """The interval that numbers must lie in."""
        return None if self.within is None else Interval.parse(self.within)


@dataclass(frozen=True, slots=True)
class Amendment:
    """What a method adds to the definition of an option.

    Attributes:
        name: The option.
        note: Added to its meaning.
        default: The method's own default.
    """

    name: str
    note: str = ""
    default: Any = UNSET


@dataclass(frozen=True, slots=True)
class Definition:
    """An option of a method.

    Attributes:
        name: Its name.
        kind: Its type.
        option: Its definition.
    """

    name: str
    kind: Any
    option: Option

    @classmethod
    def of(cls, name: str, annotation: Any, default: Any = UNSET) -> "Definition":
        """Read a definition from an annotation.

        Args:
            name: The option's name.
            annotation: ``Annotated[type, Option(...)]``, or a type alone.
            default: Its default, if the option has none.
        """
        kind, option = annotation, Option()
        if get_origin(annotation) is Annotated:
            kind, *notes = get_args(annotation)
            option = next((note for note in notes if isinstance(note, Option)), option)
        if option.default is UNSET:
            option = replace(option, default=default)
        return cls(name, kind, option)

    def amended(self, by: Amendment | None) -> "Definition":
        """Return the definition with a method's additions."""
        if by is None:
            return self
        default = self.option.default if by.default is UNSET else by.default
        meaning = f"{self.option.meaning} {by.note}".strip()
        return replace(self, option=replace(self.option, default=default, meaning=meaning))

    @property
    def default(self) -> Any:
        """The default in signatures."""
        return None if isinstance(self.option.default, ByNorm) else self.option.default

    @property
    def allowed(self) -> str:
        """Allowed values, as errors give them: ``"one of l2, inf"``, ``"in (0, 1)"``."""
        kind, interval = required(self.kind), self.option.interval
        if get_origin(kind) is Literal:
            choices = list(map(str, get_args(kind)))
            if isinstance(get_args(kind)[0], str):
                return f"one of {', '.join(choices)}"
            return " or ".join(choices)
        if interval is None:
            return ""
        if kind is int:
            whole = interval.high == math.inf
            return f"integer >= {interval.low:g}" if whole else f"integer {interval}"
        return f"{self.option.noun} {interval}".strip()

    @property
    def domain(self) -> str:
        """Allowed values in a few words, whether they are checked or not."""
        words = {bool: "True or False", int: "an integer", float: "a number", str: "a string"}
        return self.allowed or words.get(self.kind, "")

    @property
    def bounded_by_another(self) -> bool:
        """Whether its upper bound is another option."""
        return self.option.interval is not None and isinstance(self.option.interval.high, str)

    def check(self, options: Mapping[str, Any]) -> None:
        """Check the value against its range.

        Raises:
            ValueError: It is out of range; for example ``Invalid radius: -1.0, must be above 0``.
        """
        value = options[self.name]
        if not self._admits(value, options):
            raise ValueError(f"Invalid {self.name}: {value}, must be {self.allowed}")

    def check_rule(self, options: Mapping[str, Any]) -> None:
        """Check the value against the other options.

        Raises:
            ValueError: It does not go with them.
        """
        fault = self.option.rule(options) if self.option.rule is not None else None
        if fault is not None:
            raise ValueError(f"Invalid {self.name}: {options[self.name]}, {fault}")

    def _admits(self, value: Any, options: Mapping[str, Any]) -> bool:
        kind, interval = required(self.kind), self.option.interval
        if value is None and kind is not self.kind:
            return True
        if get_origin(kind) is Literal:
            return not isinstance(value, bool) and any(
                isinstance(value, type(choice)) and value == choice for choice in get_args(kind)
            )
        if interval is None:
            return True
        if get_origin(kind) is None:
            fits = isinstance(value, int) if kind is int else True
            return fits and not isinstance(value, bool) and interval.holds(value, options)
        given: Any = value
        members = get_args(kind)
        of_any_length = get_origin(kind) is Sequence or ... in members
        try:
            values: tuple[Any, ...] = tuple(given)
        except TypeError:
            return False
        fits = of_any_length or len(values) == len(members)
        return fits and all(interval.holds(one, options) for one in values)


def required(kind: Any) -> Any:
    """Return a type without ``None``."""
    if get_origin(kind) not in (Union, UnionType) or NoneType not in get_args(kind):
        return kind
    return reduce(or_, (member for member in get_args(kind) if member is not NoneType))
