"""Rows of JSON Lines files: encoding of non-finite numbers, reading past a torn end."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class RecordError(ValueError):
    """A run directory or one of its files is not what it should be; the message names the file."""


def encode_numbers(value: Any, key: str = "") -> Any:
    """Return ``value`` with every non-finite float made representable in JSON.

    Args:
        value: Plain nested data (dict, list, numbers, strings, None).
        key: Name under which ``value`` is stored. Losses and metrics keep the difference between
            infinite and undefined as the strings ``"inf"``, ``"-inf"`` and ``"nan"``, since a
            diverged loss is a result; any other non-finite number becomes None.

    Returns:
        Data that ``json.dumps(..., allow_nan=False)`` accepts.
    """
    if isinstance(value, Mapping):
        return {str(name): encode_numbers(item, str(name)) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode_numbers(item, key) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value) if _is_result(key) else None
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
    if isinstance(value, str) and value in ("inf", "-inf", "nan") and _is_result(key):
        return float(value)
    return value


def _is_result(key: str) -> bool:
    """Tell whether a name is that of a loss or of a metric, which are results."""
    return key.endswith("loss") or key.startswith(("val_", "test_"))


def dump_row(row: Mapping[str, Any]) -> str:
    """Return ``row`` as one line of JSON without the line break."""
    return json.dumps(encode_numbers(row), allow_nan=False, separators=(",", ":"))


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read a JSON Lines file that may be being written, or was cut off while it was.

    Args:
        path: The file; a missing file counts as empty.

    Returns:
        The rows in file order. A last line that is not complete is left out.

    Raises:
        RecordError: A line before the last is not a JSON object.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    last = max((i for i, line in enumerate(lines) if line.strip()), default=-1)
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines[: last + 1]):
        if not line.strip():
            continue
        row = parse_row(line)
        if row is not None:
            rows.append(row)
        elif number != last:
            raise RecordError(f"{path}: line {number + 1} is not a JSON object")
    return rows


def parse_row(line: bytes) -> dict[str, Any] | None:
    """Return the JSON object that ``line`` holds, or None if it does not hold one."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return decode_numbers(row) if isinstance(row, dict) else None


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds one object.

    Args:
        path: The file.

    Returns:
        The object; losses stored as strings are floats again.

    Raises:
        FileNotFoundError: There is no such file.
        RecordError: The file does not hold a JSON object.
    """
    row = parse_row(path.read_bytes())
    if row is None:
        raise RecordError(f"{path}: not a JSON object")
    return row
