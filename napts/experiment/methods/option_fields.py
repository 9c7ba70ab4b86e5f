"""The options of an optimizer as fields of a validated model."""

import functools
import math
import operator
import types
from collections.abc import Collection, Iterator, Mapping, Sequence
from inspect import Parameter
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import Field, JsonValue

from napts.optim.option import UNSET, ByNorm, Definition, required
from napts.optim.signature import Definitions

_NUMBERS = (int, float)
_SCALARS = (bool, *_NUMBERS, str, type(None))
_SEQUENCES: tuple[Any, ...] = (tuple, list, Sequence)

Bounds = Mapping[str, float]


def fields_of(definitions: Definitions, reserved: Collection[str], owner: str) -> dict[str, Any]:
    """Return the fields of a model of options: their types and defaults.

    A spec can hold numbers, strings, booleans, choices and tuples of them, and they are checked. A
    parameter of another type keeps its default and is not an option.

    Args:
        definitions: The options.
        reserved: Names with another meaning in a spec.
        owner: Name of the optimizer, for errors.

    Returns:
        What :func:`pydantic.create_model` takes.

    Raises:
        ValueError: A spec cannot hold an option without a default, or an option has a reserved
            name.
    """
    fields: dict[str, Any] = {}
    for name, definition in definitions.items():
        kind, default = _kind(definition, definitions), _default(definition)
        if kind is None and default is ...:
            raise ValueError(
                f"{owner}: {name} is not a number, a string or a tuple of them, so a spec cannot "
                "hold it; give it a default"
            )
        if kind is None or not (default is ... or _is_plain(default)):
            continue
        if name in reserved or name.startswith("_"):
            raise ValueError(f"{owner}: an option cannot be called {name}")
        fields[name] = (kind, default)
    return fields


def plain_type(annotation: Any, bounds: Bounds | None = None) -> Any:
    """Return the part of a type that a spec can hold; ``None`` if there is none.

    Args:
        annotation: The type.
        bounds: Bounds of the numbers in it, in pydantic's terms.
    """
    bounds = bounds or {}
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in _NUMBERS and bounds:
        limits: Any = {name: annotation(bound) for name, bound in bounds.items()}
        return Annotated[annotation, Field(**limits)]
    if annotation in _SCALARS or origin is Literal:
        return annotation
    if annotation is Any:
        return JsonValue
    if origin is Annotated:
        kind = plain_type(arguments[0], bounds)
        return None if kind is None else Annotated[(kind, *arguments[1:])]
    if origin in (Union, types.UnionType):
        members = [kind for kind in (plain_type(a, bounds) for a in arguments) if kind is not None]
        return functools.reduce(operator.or_, members) if members else None
    if origin in _SEQUENCES:
        return _tuple(arguments if origin is tuple else (*arguments[:1], ...), bounds)
    return None


def _tuple(arguments: tuple[Any, ...], bounds: Bounds) -> Any:
    members = [a if a is ... else plain_type(a, bounds) for a in arguments]
    if not members or None in members:
        return None
    return Annotated[tuple[tuple(members)], Field(strict=False)]


def _kind(definition: Definition, definitions: Definitions) -> Any:
    """Return the type of an option in specs; ``None`` if specs cannot hold it."""
    kind, default = definition.kind, definition.option.default
    if kind is Parameter.empty or isinstance(kind, str):
        return type(default) if type(default) in (bool, float) else JsonValue
    if isinstance(default, ByNorm):
        kind = required(kind)  # it is filled in
    return plain_type(kind, _bounds(definition, definitions))


def _default(definition: Definition) -> Any:
    """Return the default of an option in specs; an ellipsis if it must be given."""
    option = definition.option
    default = option.default if option.in_specs is UNSET else option.in_specs
    return ... if default is UNSET or isinstance(default, ByNorm) else default


def _bounds(definition: Definition, definitions: Definitions) -> Bounds:
    """Return an interval's bounds in pydantic's terms."""
    interval = definition.option.interval
    if interval is None:
        return {}
    low, high, closed = interval.low, interval.high, interval.has_high
    if isinstance(high, str):  # another option, whose largest value is then that of both
        other = definitions[high].option.interval
        assert other is not None
        assert not isinstance(other.high, str)
        high, closed = other.high, closed and other.has_high
    bounds = {"ge" if interval.has_low else "gt": low, "le" if closed else "lt": high}
    return {name: bound for name, bound in bounds.items() if math.isfinite(bound)}


def _is_plain(value: Any) -> bool:
    return type(value) in _SCALARS or (
        isinstance(value, (tuple, list)) and all(map(_is_plain, _flat(value)))
    )


def _flat(values: Sequence[Any]) -> Iterator[Any]:
    for value in values:
        yield from _flat(value) if isinstance(value, (tuple, list)) else [value]
