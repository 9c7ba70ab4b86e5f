"""TOML files, read within bounds: anything too long or too deep is refused before parsing.

People do not write such files, but programs do. Python's parser takes minutes for keys with
thousands of parts and ends in a RecursionError for deeply nested lists, and so does later code.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from napts.experiment.spec.shipped import shipped
from napts.experiment.spec.spec_error import spec_error
from napts.text import one_line, plain_label, shown

LARGEST_BYTES = 256 * 1024
"""Largest size of a file; the longest study that comes with the package has 4 KB."""

MOST_KEYS = 10_000
"""Largest number of keys in a file or in nested data."""

MOST_VALUES = 1_000_000
"""Largest number of values in nested data; files have fewer, but data can repeat a list."""

DEEPEST = 16
"""Largest number of levels of tables and lists, and of parts of a dotted key."""

LARGEST_INTEGER, SMALLEST_INTEGER = 2**63 - 1, -(2**63)
"""Integers that TOML, JSON, databases and tensors can hold."""

_TOKENS = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*+(?:""")?'
    r"|'''(?:[^']|'(?!''))*+(?:''')?"
    r'|"(?:[^"\\\n]|\\.)*+"?'
    r"|'[^'\n]*+'?"
    r"|\#[^\n]*+"
    r"|[\[\]{}=.,\n]",
    re.DOTALL,
)
"""Strings and comments as a whole, and the significant characters between; in linear time."""


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; ``studies/NAME.toml`` may be one that comes with the package.

    Raises:
        SpecError: The file is missing, is not TOML, or is too large.
    """
    try:
        path = shipped(path)
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise spec_error(path, f"cannot be read, {error.strerror}") from None
    if len(content) > LARGEST_BYTES:
        raise spec_error(path, f"found more than {LARGEST_BYTES // 1024} KiB, allowed: less")
    try:
        return parse_toml(content.decode("utf-8"))
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError among them
        raise spec_error(path, f"not valid TOML, {error}") from None


def parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML.

    Raises:
        ValueError: It is not TOML, or has too many keys or levels.
    """
    _check_text(text)
    return tomllib.loads(text)


def _check_text(text: str) -> None:
    depth = parts = keys = 0
    for token in map(re.Match.group, _TOKENS.finditer(text)):
        sign = token[0]
        if sign in "[{":
            depth += 1
        elif sign in "]}":
            depth -= 1
        elif sign == "=":
            keys += 1
        parts = parts + 1 if sign == "." else 0 if sign in "[]{}=,\n" else parts
        if depth > DEEPEST or parts >= DEEPEST:
            raise ValueError(f"found more than {DEEPEST} levels, allowed: {DEEPEST}")
        if keys > MOST_KEYS:
            raise ValueError(f"found more than {MOST_KEYS:,} keys, allowed: {MOST_KEYS:,}")


def check_data(data: Mapping[str, Any], source: object) -> None:
    """Check nested data, from a file or a program, for anything that later code cannot handle.

    Args:
        data: The data.
        source: Where they come from, for messages.

    Raises:
        SpecError: They are nested too deeply or have too many keys, an integer beyond 64 bits, or a
            key with a control character.
    """
    keys = 0
    for count, (place, value) in enumerate(_walk(data)):
        if len(place) > DEEPEST:
            raise spec_error(source, f"{place[0]}: found more than {DEEPEST} levels, allowed: less")
        if isinstance(value, Mapping):
            keys += len(value)
            _check_keys(value, place, source)
        elif type(value) is int and not SMALLEST_INTEGER <= value <= LARGEST_INTEGER:
            problem = f"found {shown(value)}, allowed: integers of 64 bits"
            raise spec_error(source, f"{dotted(place)}: {problem}")
        if keys > MOST_KEYS or count > MOST_VALUES:
            many = f"{MOST_KEYS:,} keys" if keys > MOST_KEYS else f"{MOST_VALUES:,} values"
            raise spec_error(source, f"found more than {many}, allowed: less")


def _walk(data: Any) -> Iterator[tuple[tuple[int | str, ...], Any]]:
    """Yield all values with their places, down to one level below the deepest allowed."""
    left: list[tuple[tuple[int | str, ...], Any]] = [((), data)]
    while left:
        place, value = left.pop()
        yield place, value
        if isinstance(value, Mapping):
            left += [((*place, key), item) for key, item in value.items()]
        elif isinstance(value, list | tuple):
            left += [((*place, index), item) for index, item in enumerate(value)]


def _check_keys(table: Mapping[Any, Any], place: tuple[int | str, ...], source: object) -> None:
    for key in table:
        try:
            if not isinstance(key, str):
                raise ValueError(f"found {shown(key)}, allowed: strings")
            plain_label(key)
        except ValueError as error:
            where = f"{dotted(place)}: " if place else ""
            raise spec_error(source, f"{where}a key: {error}") from None


def dotted(place: tuple[int | str, ...]) -> str:
    """Return a place in nested data as written in a file, shortened if it is long."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return one_line(text, 80)
