"""The options of an optimizer as fields of a validated model, taken from its signature."""

import functools
import inspect
import operator
import types
from collections.abc import Callable, Iterator, Sequence
from inspect import Parameter
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import Field, JsonValue

_SCALARS = (bool, int, float, str, type(None))
_SEQUENCES: tuple[Any, ...] = (tuple, list, Sequence)
RESERVED = ("method", "scheduler", "label", "epochs", "preset")
"""Names that mean something else beside the options of a method."""


def options_in(optimizer: Callable[..., Any]) -> dict[str, Parameter]:
    """Return the parameters of an optimizer's constructor that options can set, by name.

    Args:
        optimizer: A class or a function; its first parameter stands for what is trained.
    """
    kinds = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    _, *others = _signature(optimizer).parameters.values()
    return {p.name: p for p in others if p.kind in kinds}


def fields_of(optimizer: Callable[..., Any]) -> dict[str, Any]:
    """Return the fields of a model of an optimizer's options: their types and defaults.

    Numbers, strings, truth values, choices and tuples of them can stand in a spec, and are checked.
    A parameter of another type keeps its default, and is no option.

    Args:
        optimizer: A class or a function.

    Returns:
        What :func:`pydantic.create_model` takes.

    Raises:
        ValueError: A parameter without a default cannot stand in a spec, or has a name that means
            something else there.
    """
    fields: dict[str, Any] = {}
    for name, parameter in options_in(optimizer).items():
        needed = parameter.default is Parameter.empty
        kind = _kind(parameter)
        if kind is None or not (needed or _is_plain(parameter.default)):
            if needed:
                raise ValueError(
                    f"{_name(optimizer)}: {name} is no number, string or tuple of them, which a "
                    "spec could hold; give it a default"
                )
            continue
        if name in RESERVED or name.startswith("_"):
            raise ValueError(f"{_name(optimizer)}: an option cannot be called {name}")
        fields[name] = (kind, ... if needed else parameter.default)
    return fields


def _name(optimizer: Callable[..., Any]) -> str:
    return getattr(optimizer, "__qualname__", repr(optimizer))


def _signature(optimizer: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(optimizer, eval_str=True)
    except (NameError, AttributeError, TypeError):  # annotations for type checkers only
        return inspect.signature(optimizer)


def _kind(parameter: Parameter) -> Any:
    """Return the type of a parameter as far as specs can hold it; ``None`` if they cannot."""
    if parameter.annotation is Parameter.empty or isinstance(parameter.annotation, str):
        default = type(parameter.default)
        return default if default in (bool, float) else JsonValue
    return plain_type(parameter.annotation)


def plain_type(annotation: Any) -> Any:
    """Return what of a type can stand in a spec; ``None`` if nothing can."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in _SCALARS or origin is Literal:
        return annotation
    if annotation is None:
        return type(None)
    if annotation is Any:
        return JsonValue
    if origin is Annotated:
        kind = plain_type(arguments[0])
        return None if kind is None else Annotated[(kind, *arguments[1:])]
    if origin in (Union, types.UnionType):
        members = [kind for kind in map(plain_type, arguments) if kind is not None]
        return functools.reduce(operator.or_, members) if members else None
    if origin in _SEQUENCES:
        return _plain_tuple(arguments if origin is tuple else (*arguments[:1], ...))
    return None


def _plain_tuple(arguments: tuple[Any, ...]) -> Any:
    members = [argument if argument is ... else plain_type(argument) for argument in arguments]
    if not members or None in members:
        return None
    return Annotated[tuple[tuple(members)], Field(strict=False)]


def _is_plain(value: Any) -> bool:
    return type(value) in _SCALARS or (
        isinstance(value, (tuple, list)) and all(map(_is_plain, _flat(value)))
    )


def _flat(values: Sequence[Any]) -> Iterator[Any]:
    for value in values:
        yield from _flat(value) if isinstance(value, (tuple, list)) else [value]
