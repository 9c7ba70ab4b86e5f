"""From the options of a method to its signature, its documentation, and complete checked options.

A constructor takes ``**options: Unpack[TROptions]``, with a ``TypedDict`` whose annotations each
hold an :class:`napts.optim.option.Option`. Everything that type checkers, ``help`` and
:func:`inspect.signature` show, and all checks, follow from there.
"""

import difflib
import inspect
import textwrap
from collections.abc import Callable, Iterable, Mapping
from inspect import Parameter, Signature
from typing import Any, Unpack, get_args, get_origin, get_type_hints

from napts.optim.option import UNSET, Amendment, ByNorm, Definition

Definitions = Mapping[str, Definition]

_NAMED = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
_WIDTH = 88


def describe(kind: Any) -> None:
    """Give a class its ``definitions``, its signature, and a docstring with all options.

    Args:
        kind: A subclass of :class:`napts.optim.described.DescribedOptimizer`.
    """
    constructor = kind.__init__
    own = "__init__" in vars(kind)
    base = super(kind, kind).defined
    kind.defined = definitions_of(constructor, base, after=2) if own else base
    notes = amendments(kind)
    kind.definitions = {name: d.amended(notes.get(name)) for name, d in kind.defined.items()}
    signature = signature_of(constructor, kind.definitions)
    if own:
        constructor.__signature__ = signature
    kind.__signature__ = signature.replace(parameters=list(signature.parameters.values())[1:])
    if kind.__doc__ and "__doc__" in vars(kind):
        kind.__doc__ = documented(kind.__doc__, kind.definitions.values())


def definitions_of(
    function: Callable[..., Any], inherited: Definitions, *, after: int = 1
) -> dict[str, Definition]:
    """Return the options that an optimizer takes: the arguments after what is trained.

    Args:
        function: Its constructor, or a function that makes one.
        inherited: Options that ``**options`` stands for, if its annotation does not say.
        after: How many parameters are not options: what is trained, and ``self``.
    """
    found: dict[str, Definition] = {}
    for parameter in _parameters(function)[after:]:
        if parameter.kind is Parameter.VAR_KEYWORD:
            table = _table(parameter.annotation)
            own = definitions_in(table) if table is not None else inherited
            found = {**own, **found}
        elif parameter.kind in _NAMED:
            default = UNSET if parameter.default is Parameter.empty else parameter.default
            found[parameter.name] = Definition.of(parameter.name, parameter.annotation, default)
    return found


def definitions_in(table: type) -> dict[str, Definition]:
    """Return the options of a ``TypedDict``."""
    hints = get_type_hints(table, include_extras=True)
    return {name: Definition.of(name, hint) for name, hint in hints.items()}


def signature_of(function: Callable[..., Any], definitions: Definitions) -> Signature:
    """Return the signature of a constructor with ``**options`` spelled out.

    Args:
        function: The constructor.
        definitions: Its options, with the method's notes on them.
    """
    named = [p for p in _parameters(function) if p.kind is not Parameter.VAR_KEYWORD]
    spelled = [
        p.replace(default=definitions[p.name].default)
        if p.name in definitions and p.default is not Parameter.empty
        else p
        for p in named
    ]
    if len(named) < len(inspect.signature(function).parameters):
        known = {p.name for p in named}
        spelled += [_parameter(d) for name, d in definitions.items() if name not in known]
    return Signature(spelled, return_annotation=None)


def amendments(kind: type) -> dict[str, Amendment]:
    """Return the entries of ``amended`` in a class and its bases."""
    return {
        amendment.name: amendment
        for base in reversed(kind.__mro__)
        for amendment in vars(base).get("amended", ())
    }


def completed(method: str, options: Mapping[str, Any], definitions: Definitions) -> dict[str, Any]:
    """Return checked options, with defaults for those not given.

    Args:
        method: Name of the class, for errors.
        options: What was given.
        definitions: All options.

    Raises:
        TypeError: There is no such option.
        ValueError: One is out of range.
    """
    for name in options:
        if name not in definitions:
            close = difflib.get_close_matches(name, definitions, n=1)
            hint = f". Did you mean '{close[0]}'?" if close else ""
            raise TypeError(
                f"{method}.__init__() got an unexpected keyword argument '{name}'{hint}"
            )
    found = {name: d.default for name, d in definitions.items()} | dict(options)
    found = with_radii(found, definitions)
    check(found, definitions)
    return found


def with_radii(options: Mapping[str, Any], definitions: Definitions) -> dict[str, Any]:
    """Fill in what depends on the norm and was not given."""
    norm = options.get("norm", definitions["norm"].default if "norm" in definitions else "l2")
    return dict(options) | {
        name: definition.option.default.of(norm)
        for name, definition in definitions.items()
        if isinstance(definition.option.default, ByNorm) and options.get(name) is None
    }


def check(options: Mapping[str, Any], definitions: Definitions) -> None:
    """Check the given options: each by itself, then against the others.

    Raises:
        ValueError: If one is out of range, in torch's form ``Invalid radius: -1.0, must be ...``.
    """
    there = [d for name, d in definitions.items() if name in options]
    later = []  # what is bounded by another option comes after that one
    for definition in there:
        if definition.bounded_by_another:
            later.append(definition)
        else:
            definition.check(options)
    for definition in later:
        definition.check(options)
    for definition in there:
        if definition.option.rule is not None:
            definition.check_rule(options)


def documented(doc: str, definitions: Iterable[Definition]) -> str:
    """Return a docstring whose ``Args`` are followed by all options.

    Args:
        doc: The docstring, which names what the constructor takes besides them.
        definitions: The options.
    """
    lines = inspect.cleandoc(doc).splitlines()
    if "Args:" not in lines:
        return doc
    start = lines.index("Args:") + 1
    end = next((i for i in range(start, len(lines)) if not lines[i].strip()), len(lines))
    options = [line for definition in definitions for line in entry(definition)]
    return "\n".join([*lines[:end], *options, *lines[end:]])


def entry(definition: Definition) -> list[str]:
    """Return the lines of an option in the ``Args`` of a docstring."""
    text = f"{definition.name} ({facts(definition)}): {definition.option.meaning}"
    wrapped = textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)
    return [f"    {wrapped[0]}", *(f"        {line}" for line in wrapped[1:])]


def facts(definition: Definition) -> str:
    """Return the allowed values of an option and its default, in a few words."""
    default = definition.option.default
    text = f"default {default if isinstance(default, ByNorm) else shown(default)}"
    return f"{definition.domain}; {text}" if definition.domain else text


def shown(value: Any) -> str:
    """Return a value as written in code."""
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _parameters(function: Callable[..., Any]) -> list[Parameter]:
    """Return the parameters with their annotations as objects."""
    try:
        hints = get_type_hints(function, include_extras=True)
    except (NameError, AttributeError, TypeError):  # annotations for type checkers only
        hints = {}
    found = inspect.signature(function).parameters.values()
    return [p.replace(annotation=hints.get(p.name, p.annotation)) for p in found]


def _table(annotation: Any) -> type | None:
    """Return the table of options that ``**options`` is annotated with."""
    return get_args(annotation)[0] if get_origin(annotation) is Unpack else None


def _parameter(definition: Definition) -> Parameter:
    return Parameter(
        definition.name,
        Parameter.KEYWORD_ONLY,
        default=Parameter.empty if definition.default is UNSET else definition.default,
        annotation=definition.kind,
    )
