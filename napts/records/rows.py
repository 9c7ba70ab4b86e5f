"""Rows of JSON Lines files: encoding of non-finite numbers, reading past a torn end."""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from napts.records.damage import DamagedRun, RecordError
from napts.records.reading import lines_of, read_bytes

__all__ = [
    "Misshapen",
    "RecordError",
    "decode_numbers",
    "dump_row",
    "dump_rows",
    "encode_numbers",
    "is_result",
    "object_of",
    "parse_row",
    "read_object",
    "read_rows",
]

Check = Callable[[dict[str, Any]], dict[str, Any]]
"""Returns a row in the form in which it is used; raises `Misshapen`."""


class Misshapen(ValueError):
    """A row is not valid; the message says which value, without the file."""


def encode_numbers(value: Any, key: str = "") -> Any:
    """Return ``value`` with every non-finite float made representable in JSON.

    Args:
        value: Plain nested data (dict, list, numbers, strings, None).
        key: Name under which ``value`` is stored. Losses and metrics distinguish infinite and
            undefined as the strings ``"inf"``, ``"-inf"`` and ``"nan"``, since a diverged loss is
            a result; any other non-finite number becomes None.

    Returns:
        Data that ``json.dumps(..., allow_nan=False)`` accepts.
    """
    if isinstance(value, Mapping):
        return {str(name): encode_numbers(item, str(name)) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode_numbers(item, key) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value) if is_result(key) else None
    return value


def decode_numbers(value: Any, key: str = "") -> Any:
    """Return ``value`` with the strings of `encode_numbers` turned back into floats.

    Args:
        value: Data as ``json.loads`` returns them.
        key: Name under which ``value`` is stored.

    Returns:
        The same data; only ``"inf"``, ``"-inf"`` and ``"nan"`` of losses and metrics change.
    """
    if isinstance(value, dict):
        return {name: decode_numbers(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [decode_numbers(item, key) for item in value]
    if isinstance(value, str) and value in ("inf", "-inf", "nan") and is_result(key):
        return float(value)
    return value


def is_result(key: str) -> bool:
    """Tell whether a name is that of a loss or a metric, which are results."""
    return key.endswith("loss") or key.startswith(("val_", "test_"))


def dump_row(row: Mapping[str, Any]) -> str:
    """Return ``row`` as one line of JSON without the line break."""
    return json.dumps(encode_numbers(row), allow_nan=False, separators=(",", ":"))


def dump_rows(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Return rows as the contents of a JSON Lines file."""
    return "".join(f"{dump_row(row)}\n" for row in rows).encode()


def read_rows(
    path: Path, check: Check = decode_numbers, *, limit: int | None = None
) -> list[dict[str, Any]]:
    """Read a JSON Lines file that may still be written, or whose writing was cut off.

    Args:
        path: The file; a missing file counts as empty.
        check: Checks each row.
        limit: Bytes that the file may have; None for any number.

    Returns:
        The rows in file order. An end that is neither a complete row nor a complete line is left
        out.

    Raises:
        DamagedRun: A line is not a JSON object or not a valid row; or the file cannot be read.
    """
    rows: list[dict[str, Any]] = []
    number = 0
    try:
        for number, line in enumerate(lines_of(path, limit), 1):
            row = object_of(line)
            if row is not None:
                rows.append(check(row))
            elif line.endswith(b"\n") and line.strip():
                raise DamagedRun(path, f"line {number} is not a JSON object")
    except FileNotFoundError:
        return []
    except Misshapen as error:
        raise DamagedRun(path, f"line {number}: {error}") from None
    except RecursionError:
        raise DamagedRun(path, f"line {number} is nested too deeply") from None
    return rows


def parse_row(line: bytes) -> dict[str, Any] | None:
    """Return the JSON object that ``line`` holds, or None if it does not hold one."""
    row = object_of(line)
    try:
        return None if row is None else decode_numbers(row)
    except RecursionError:
        return None


def read_object(path: Path, check: Check = decode_numbers) -> dict[str, Any]:
    """Read a JSON file that holds one object.

    Args:
        path: The file.
        check: Checks the object.

    Returns:
        The object; losses stored as strings are floats again.

    Raises:
        FileNotFoundError: There is no such file.
        DamagedRun: The file does not hold a valid JSON object, or cannot be read.
    """
    row = object_of(read_bytes(path))
    if row is None:
        raise DamagedRun(path, "not a JSON object")
    try:
        return check(row)
    except Misshapen as error:
        raise DamagedRun(path, str(error)) from None
    except RecursionError:
        raise DamagedRun(path, "nested too deeply") from None


def object_of(text: bytes) -> dict[str, Any] | None:
    """Return the JSON object in a text, unchanged, or None if there is none."""
    try:
        row = _DECODER.decode(text.decode())
        if b"\\ud" in text or b"\\uD" in text:
            # A half of a pair of surrogates is no character: nothing could print or store it.
            json.dumps(row, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)
"""A reader without the constants that Python accepts beyond JSON: NaN and the infinities."""
