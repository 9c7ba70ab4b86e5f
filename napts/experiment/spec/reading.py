"""Reading specs from TOML files, with error messages that say what to change."""

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from napts.experiment.methods.registry import method_named
from napts.experiment.spec.run_spec import RunSpec
from napts.experiment.spec.spec_error import SpecError, spec_error, spec_line
from napts.experiment.spec.study import Study
from napts.experiment.spec.toml_file import DEEPEST, check_data, dotted, parse_toml, read_toml
from napts.problems import options_model
from napts.quantity import Unit
from napts.text import shown

__all__ = [
    "SpecError",
    "apply_overrides",
    "load_spec",
    "parse_spec",
    "read_toml",
    "spec_error",
    "validated",
]

Model = TypeVar("Model", bound=BaseModel)

_COMPARISONS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
_TYPES = {
    "int_type": "integer",
    "float_type": "number",
    "bool_type": "true or false",
    "string_type": "string",
    "finite_number": "a finite number",
    "int_from_float": "integer",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a table",
    "mapping_type": "a table",
    "extra_forbidden": "nothing",
    "model_type": "a table",
    "model_attributes_type": "a table",
}


_IN_METHODS = 4
"""Length of the path of a key of ``[[methods]]``, with the nesting of the models."""

_LONGEST_KEY = 100
"""Characters of an unknown key that are compared with known keys to suggest one."""


def load_spec(path: str | Path, overrides: Iterable[str] = ()) -> RunSpec | Study:
    """Read a spec or a study from a TOML file.

    Args:
        path: The file; a study is recognised by its ``methods``.
        overrides: Assignments such as ``optimizer.window=10``; see `apply_overrides`.

    Returns:
        The validated spec or study.

    Raises:
        SpecError: The file is missing, is not TOML, or does not describe a run.
    """
    return parse_spec(apply_overrides(read_toml(Path(path)), overrides), str(path))


def parse_spec(data: Mapping[str, Any], source: str = "spec") -> RunSpec | Study:
    """Validate plain data as a spec or, if they have ``methods``, as a study.

    Args:
        data: Nested plain data.
        source: Where they come from, for messages.

    Raises:
        SpecError: The data do not describe a run.
    """
    return validated(Study if "methods" in data else RunSpec, data, source)


def apply_overrides(data: Mapping[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """Return a copy of nested data with some values replaced or added.

    Args:
        data: Nested plain data.
        assignments: ``a.b=value``; an element of a list is named by its index. The value is a TOML
            literal; anything else is taken as a string, so that quotes are not needed.

    Raises:
        SpecError: An assignment has no ``=``, or its path leads through something that is not a
            table.
    """
    check_data(data, "spec")
    result = deepcopy(dict(data))
    for assignment in assignments:
        key, separator, text = assignment.partition("=")
        names = [name.strip() for name in key.split(".")]
        if not separator or not all(names) or len(names) > DEEPEST:
            raise spec_error("--set", f"found {shown(assignment)}, allowed: name.name=value")
        _assign(result, names, _literal(text.strip()), assignment)
    return result


def _literal(text: str) -> Any:
    try:
        parsed = parse_toml(f"value = {text}")
    except ValueError:
        return text
    value = parsed["value"] if set(parsed) == {"value"} else text
    # No setting may be infinite, and "inf" is the name of a norm.
    return text if isinstance(value, float) and not math.isfinite(value) else value


def _assign(data: dict[str, Any], names: list[str], value: Any, assignment: str) -> None:
    place: Any = data
    try:
        for name in names[:-1]:
            place = place[int(name)] if isinstance(place, list) else place.setdefault(name, {})
        if isinstance(place, list):
            place[int(names[-1])] = value
        else:
            place.update({names[-1]: value})
    except (AttributeError, IndexError, ValueError):
        problem = f"{shown(assignment)} does not name a place in the spec"
        raise spec_error("--set", problem) from None


def validated(model: type[Model], data: Mapping[str, Any], source: str) -> Model:
    """Validate plain data as a model.

    Args:
        model: The model.
        data: Nested plain data.
        source: Where they come from, for messages.

    Raises:
        SpecError: The data are not valid; one line per problem.
    """
    check_data(data, source)
    try:
        return model.model_validate(dict(data))
    except ValidationError as error:
        items = [dict(item) for item in error.errors()]
        raise SpecError(
            _problem(item, model, data, source) for item in items if not _follows(item, items)
        ) from None


def _follows(item: dict[str, Any], items: Iterable[dict[str, Any]]) -> bool:
    """Tell whether a list counts as too short only because some of its items are not valid."""
    place = item["loc"]
    return item["type"] == "too_short" and any(
        len(other["loc"]) > len(place) and other["loc"][: len(place)] == place for other in items
    )


def _problem(
    item: dict[str, Any], model: type[BaseModel], data: Mapping[str, Any], source: str
) -> str:
    """Return one of pydantic's errors as a line."""
    place = item["loc"]
    if item["type"] == "extra_forbidden":
        explained = _unknown_key(place, model, data)
    else:
        explained = _explain(item) + _unit_of(item, model, data)
    where = _dotted(place)
    return spec_line(source, f"{where}: {explained}" if where else explained)


def _dotted(place: tuple[int | str, ...]) -> str:
    """Return the path as in the file, without the nesting of the models."""
    nested = place[:1] == ("methods",)
    return dotted(
        tuple(
            part
            for part in place
            # The last is pydantic's name of a member of a union.
            if not (nested and part == "optimizer") and "[" not in str(part)
        )
    )


def _unknown_key(
    place: tuple[int | str, ...], model: type[BaseModel], data: Mapping[str, Any]
) -> str:
    """List the known keys where an unknown one was found, the likeliest first."""
    known = list(_model_of(place, model, data).model_fields)
    if place[0] == "methods" and len(place) <= _IN_METHODS:
        known += ["label", "epochs"]
    close = difflib.get_close_matches(str(place[-1])[:_LONGEST_KEY], known, n=1)
    hint = f", did you mean {close[0]}?" if close else ","
    return f"unknown key{hint} allowed: {', '.join(known)}"


def _model_of(
    place: tuple[int | str, ...], model: type[BaseModel], data: Mapping[str, Any]
) -> type[BaseModel]:
    """Return the model of the table that contains a place."""
    if "optimizer" in place[:-1]:
        return method_named(_table_at(data, place[:-1])["method"]).options
    if place[0] == "workload":
        return options_model(data["workload"]["name"])
    return _model_at(model, place[:-1])


def _unit_of(item: dict[str, Any], model: type[BaseModel], data: Mapping[str, Any]) -> str:
    """Return the unit of a number that is out of bounds, in parentheses; empty if it has none."""
    place = item["loc"]
    bounded = not _COMPARISONS.keys().isdisjoint(item.get("ctx", {}))
    # Options of methods say in their meaning what they are measured in.
    if not bounded or "optimizer" in place or not isinstance(place[-1], str):
        return ""
    field = _model_of(place, model, data).model_fields.get(str(place[-1]))
    units = [] if field is None else [*_units_in(field.metadata), *_units_in([field.annotation])]
    return f" ({units[0].name})" if units else ""


def _units_in(annotations: Iterable[Any]) -> Iterator[Unit]:
    for annotation in annotations:
        if isinstance(annotation, Unit):
            yield annotation
        yield from _units_in(get_args(annotation))


def _table_at(data: Any, place: tuple[int | str, ...]) -> Any:
    """Return the table at a place; a study's file has fewer levels than its model."""
    for part in place:
        with suppress(KeyError, IndexError, TypeError):
            data = data[part]
    return data


def _model_at(model: type[BaseModel], place: tuple[int | str, ...]) -> type[BaseModel]:
    """Return the model of the table at a place; the innermost one that can be determined."""
    for part in place:
        field = model.model_fields.get(str(part))
        if field is not None:
            model = next(_models_in(field.annotation), model)
    return model


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _explain(item: dict[str, Any]) -> str:
    kind, context = item["type"], item.get("ctx", {})
    if kind == "missing":
        return "missing"
    if kind in ("method_missing", "method_unknown"):
        return item["msg"]
    if kind == "value_error":
        return str(context["error"])
    return f"found {shown(item['input'])}, allowed: {_allowed(kind, context, item['msg'])}"


def _allowed(kind: str, context: dict[str, Any], message: str) -> str:
    for name, sign in _COMPARISONS.items():
        if name in context:
            noun = "integer" if isinstance(context[name], int) else "number"
            return f"{noun} {sign} {context[name]}"
    if kind == "literal_error":
        return context["expected"].replace("'", "")
    for name, bound in (("min_length", "at least"), ("max_length", "at most")):
        if name in context:
            many = kind in ("too_short", "too_long")
            noun = "of them" if many else "character" if context[name] == 1 else "characters"
            return f"{bound} {context[name]} {noun}"
    if kind == "string_pattern_mismatch":
        return "letters, digits, '.', '_' and '-', no '.' at the start"
    return _TYPES.get(kind, message[:1].lower() + message[1:])
