"""Whether the contents of a file of records have the types in the table of columns.

All rows go through this on reading, so that code that uses a value need not check it. Columns that
the table does not have are passed on unchanged: a later version may have written them.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from napts.records.columns import FINAL, REQUIRED, TARGET, column
from napts.records.damage import DamagedRun, NewerSchema
from napts.records.layout import (
    ENVIRONMENT,
    EPOCHS,
    NEWEST_SCHEMA,
    RESTARTS,
    STATUS,
    STEPS,
)
from napts.records.rows import Misshapen, decode_numbers, is_result
from napts.text import one_line, shown

LARGEST = 2**63 - 1
"""The largest integer: frames and databases cannot hold larger ones."""

UNIX = "unix s"
"""The unit of columns that hold a point in time."""

LATEST = 1e11
"""The latest time in unix seconds: calendars and databases end before much later ones."""

DEPTH = 32
"""How deeply values that no column describes may be nested."""

_NON_FINITE = ("inf", "-inf", "nan")
_NAME_CHARACTERS = 40
_LONGEST_NAME = 150
_REMEMBERED = 4096

_ALLOWED = {
    "integer": "integers from 0 on",
    "number": "finite numbers",
    "result": "finite numbers, inf, -inf and nan",
    "time": "seconds since 1970",
    "flag": "true and false",
    "text": "text",
    "table": "a table",
}

_TABLES = {(STATUS, "final"): FINAL, (STATUS, "target"): TARGET}


class _Kinds(dict[str, str]):
    """What the columns of a file hold, by name; "any" if the table does not say."""

    def __init__(self, file: str, types: Mapping[str, str] | None = None) -> None:
        super().__init__(types or {})
        self.file = file
        self.required = REQUIRED.get(file, ())

    def __missing__(self, name: str) -> str:
        described = column(self.file, name)
        kind = "any" if described is None else described.type
        if kind == "number" and is_result(name):
            kind = "result"
        if described is not None and described.unit == UNIX:
            kind = "time"
        if len(self) < _REMEMBERED:
            self[name] = kind
        return kind


_KINDS = {
    ENVIRONMENT: _Kinds(
        ENVIRONMENT,
        {"git_revision": "text", "git_dirty": "flag", "hostname": "text", "packages": "table"},
    ),
    **{file: _Kinds(file) for file in (EPOCHS, STEPS, RESTARTS, STATUS, FINAL, TARGET)},
}


def checker(file: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return what checks the rows of a file, and turns losses stored as text into numbers.

    Args:
        file: Name of the file.

    Returns:
        A function that returns the row that it is given, or raises `Misshapen`.
    """
    kinds, isfinite = _KINDS[file], math.isfinite
    required, largest = kinds.required, LARGEST

    def check(row: dict[str, Any]) -> dict[str, Any]:
        # No function call for what most values are: there are millions of them.
        for name, value in row.items():
            if value is None:
                continue
            found, kind = type(value), kinds[name]
            if found is float:
                if kind in _FLOATS and isfinite(value):
                    continue
            elif found is int:
                if kind in _INTEGERS and (0 if kind == "integer" else -largest) <= value <= largest:
                    continue
            elif found is str and kind == "text":
                continue
            row[name] = _converted(file, name, value, kind)
        for name in required:
            if row.get(name) is None:
                raise Misshapen(f"lacks {name}")
        return row

    return check


_FLOATS = frozenset({"number", "result"})
_INTEGERS = frozenset({"integer", "number", "result"})


def _converted(file: str, name: str, value: Any, kind: str) -> Any:
    """Return a value that is neither a plain number nor plain text, in the form used."""
    if kind == "time" and type(value) in (int, float) and 0 <= value <= LATEST:
        return value
    if kind == "flag" and isinstance(value, bool):
        return value
    if kind == "result" and isinstance(value, str) and value in _NON_FINITE:
        return float(value)
    if kind == "any":
        check_depth(value, name)
        return decode_numbers(value, name)
    if kind == "table" and isinstance(value, dict):
        return _table(file, name, value)
    label = one_line(name, _NAME_CHARACTERS)
    raise Misshapen(f"{label}: found {shown(value)}, allowed: {_ALLOWED[kind]}")


def _table(file: str, name: str, value: dict[str, Any]) -> dict[str, Any]:
    inner = _TABLES.get((file, name))
    if inner is None:
        check_depth(value, name)
        return value
    try:
        return checker(inner)(value)
    except Misshapen as error:
        said = str(error)
        between = " " if said.startswith("lacks ") else "."
        raise Misshapen(f"{name}{between}{said}") from None


def check_depth(value: Any, name: str, depth: int = DEPTH) -> None:
    """Refuse data that are nested more deeply than anything plausible.

    Args:
        value: Plain data.
        name: What it is.
        depth: Levels that it may have.

    Raises:
        Misshapen: It has more.
    """
    level = [value]
    while level := [v for item in level for v in _items(item)]:
        depth -= 1
        if depth < 0:
            raise Misshapen(f"{one_line(name, _NAME_CHARACTERS)}: nested too deeply")


def _items(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def check_schema(place: Path, row: Mapping[str, Any]) -> None:
    """Refuse a version of the format that this program does not know.

    Args:
        place: The file.
        row: Its contents; one that names no version has the first.

    Raises:
        NewerSchema: It is a later version.
        DamagedRun: It is not a version.
    """
    found = row.get("schema")
    if found is None:
        return
    if isinstance(found, bool) or not isinstance(found, int) or found < 1:
        raise DamagedRun(place, f"schema: found {shown(found)}, allowed: 1 to {NEWEST_SCHEMA}")
    if found > NEWEST_SCHEMA:
        raise NewerSchema(place, found, NEWEST_SCHEMA)


def check_header(row: dict[str, Any]) -> dict[str, Any]:
    """Return the contents of ``spec.json``, checked to have everything that readers use.

    Raises:
        Misshapen: Something is missing or has another type.
    """
    for name in ("spec", "run_key", "experiment"):
        if name not in row:
            raise Misshapen(f"incomplete, {name!r} is missing")
    for name in ("run_key", "experiment"):
        _expect(row, name, "text", required=True)
    _expect(row, "label", "text")
    _expect(row, "thinned", "table")
    for name in row.get("thinned") or {}:
        _expect(row["thinned"], name, "number", "thinned.")
    _expect(row, "spec", "table", required=True)
    check_depth(row["spec"], "spec")
    _check_spec(row["spec"])
    row["spec"] = spec = decode_numbers(row["spec"])
    # Names reach terminals and figures, whoever has written them.
    for table, name in ((row, "label"), (row, "experiment"), (row, "run_key"), *_names_in(spec)):
        if isinstance(table.get(name), str):
            table[name] = one_line(table[name], _LONGEST_NAME)
    return row


def _names_in(spec: Mapping[str, Any]) -> tuple[tuple[dict[str, Any], str], ...]:
    return (spec["optimizer"], "method"), (spec["workload"], "name")


def _check_spec(spec: Mapping[str, Any]) -> None:
    for table, name in (("optimizer", "method"), ("workload", "name")):
        _expect(spec, table, "table", "spec.", required=True)
        _expect(spec[table], name, "text", f"spec.{table}.", required=True)
    _expect(spec, "seed", "integer", "spec.", required=True)
    for name, kind in (("local_fraction", "number"), ("window", "integer")):
        _expect(spec["optimizer"], name, kind, "spec.optimizer.")
    _expect(spec, "execution", "table", "spec.")
    _expect(spec, "budget", "table", "spec.", required=True)
    budget = spec["budget"]
    if budget.get("batch_size") != "full":
        _expect(budget, "batch_size", "integer", "spec.budget.", required=True)
    for name in ("epochs", "samples"):
        _expect(budget, name, "integer", "spec.budget.")
    for name in ("passes", "seconds"):
        _expect(budget, name, "number", "spec.budget.")
    _expect(budget, "target", "table", "spec.budget.")
    if budget.get("target") is not None:
        _expect(budget["target"], "metric", "text", "spec.budget.target.", required=True)
        _expect(budget["target"], "value", "number", "spec.budget.target.", required=True)
    _expect(spec.get("execution") or {}, "record_steps", "flag", "spec.execution.")


_PYTHON: Mapping[str, tuple[type, ...]] = {
    "integer": (int,), "number": (int, float), "text": (str,), "table": (dict,), "flag": (bool,),
}  # fmt: skip


def _expect(
    values: Mapping[str, Any], name: str, kind: str, place: str = "", *, required: bool = False
) -> None:
    value = values.get(name)
    if value is None and not required:
        return
    if value is None:
        raise Misshapen(f"incomplete, {place}{name} is missing")
    fits = type(value) in _PYTHON[kind]
    if fits and kind == "integer":
        fits = 0 <= value <= LARGEST
    if fits and kind == "number":
        fits = abs(value) <= LARGEST if isinstance(value, int) else math.isfinite(value)
    if not fits:
        raise Misshapen(f"{place}{name}: found {shown(value)}, allowed: {_ALLOWED[kind]}")
