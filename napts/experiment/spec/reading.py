"""Reading specs from TOML files, with errors that say what to change."""

import difflib
import math
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from napts.experiment.methods.registry import method_named
from napts.experiment.spec.run_spec import RunSpec
from napts.experiment.spec.shipped import shipped
from napts.experiment.spec.study import Study
from napts.problems import options_model

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
"""Length of the place of a key of ``[[methods]]``, with the nesting of the models."""


class SpecError(ValueError):
    """A spec is invalid; one line per problem.

    Attributes:
        problems: The lines: where, what was found, what is allowed.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; ``studies/NAME.toml`` may be one that comes with the package.

    Raises:
        SpecError: The file is missing or is not TOML.
    """
    path = shipped(path)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError([f"{path}: cannot be read, {error.strerror}"]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError([f"{path}: not valid TOML, {error}"]) from None


def load_spec(path: str | Path, overrides: Iterable[str] = ()) -> RunSpec | Study:
    """Read a spec or a study from a TOML file.

    Args:
        path: The file; a study is recognised by its ``methods``.
        overrides: Assignments such as ``optimizer.window=10``, see `apply_overrides`.

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
            literal; what is not one is taken as a string, so that quotes are not needed.

    Raises:
        SpecError: An assignment has no ``=``, or its path leads through something not a table.
    """
    result = deepcopy(dict(data))
    for assignment in assignments:
        key, separator, text = assignment.partition("=")
        names = [name.strip() for name in key.split(".")]
        if not separator or not all(names):
            raise SpecError([f"--set: found {assignment!r}, allowed: name.name=value"])
        _assign(result, names, _literal(text.strip()), assignment)
    return result


def _literal(text: str) -> Any:
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
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
        raise SpecError([f"--set: {assignment!r} does not name a place in the spec"]) from None


def validated(model: type[Model], data: Mapping[str, Any], source: str) -> Model:
    """Validate plain data as a model.

    Args:
        model: The model.
        data: Nested plain data.
        source: Where they come from, for messages.

    Raises:
        SpecError: They are not valid; one line per problem.
    """
    try:
        return model.model_validate(dict(data))
    except ValidationError as error:
        items = [dict(item) for item in error.errors()]
        raise SpecError(
            _problem(item, model, data, source) for item in items if not _follows(item, items)
        ) from None


def _follows(item: dict[str, Any], items: Iterable[dict[str, Any]]) -> bool:
    """Tell whether a list is called too short only because some of its items are not valid."""
    place = item["loc"]
    return item["type"] == "too_short" and any(
        len(other["loc"]) > len(place) and other["loc"][: len(place)] == place for other in items
    )


def _problem(
    item: dict[str, Any], model: type[BaseModel], data: Mapping[str, Any], source: str
) -> str:
    """Return one error of pydantic as a line."""
    place = item["loc"]
    if item["type"] == "extra_forbidden":
        explained = _unknown_key(place, model, data)
    else:
        explained = _explain(item)
    return ": ".join(part for part in (source, _dotted(place), explained) if part)


def _dotted(place: tuple[int | str, ...]) -> str:
    """Return the path as it stands in the file: without the nesting of the models."""
    text = ""
    nested = place[:1] == ("methods",)
    for part in place:
        if nested and part == "optimizer":
            continue
        if "[" in str(part):  # pydantic's name of a member of a union
            continue
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _unknown_key(
    place: tuple[int | str, ...], model: type[BaseModel], data: Mapping[str, Any]
) -> str:
    """Say which keys there are where an unknown one was found, the likeliest first."""
    if "optimizer" in place[:-1]:
        model = method_named(_table_at(data, place[:-1])["method"]).options
    elif place[0] == "workload":
        model = options_model(data["workload"]["name"])
    else:
        model = _model_at(model, place[:-1])
    known = list(model.model_fields)
    if place[0] == "methods" and len(place) <= _IN_METHODS:
        known += ["label", "epochs"]
    close = difflib.get_close_matches(str(place[-1]), known, n=1)
    hint = f", did you mean {close[0]}?" if close else ","
    return f"unknown key{hint} allowed: {', '.join(known)}"


def _table_at(data: Any, place: tuple[int | str, ...]) -> Any:
    """Return the table at a place; a study's file has fewer levels than its model."""
    for part in place:
        with suppress(KeyError, IndexError, TypeError):
            data = data[part]
    return data


def _model_at(model: type[BaseModel], place: tuple[int | str, ...]) -> type[BaseModel]:
    """Return the model of the table at a place; the innermost one that can be told."""
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
    return f"found {item['input']!r}, allowed: {_allowed(kind, context, item['msg'])}"


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
        return "letters, digits, '.', '_' and '-', no '.' in front"
    return _TYPES.get(kind, message[:1].lower() + message[1:])
