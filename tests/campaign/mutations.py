"""Seeded mutations of data and of text: what people, editors and broken disks make of a file."""

import datetime
import math
import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

Place = tuple[Any, Any]
"""A container and a key of it."""

_TEXTS = (
    *(
        "",
        " ",
        "\x00",
        "\x1b[31mred\x1b[0m",
        "a\nb",
        "a\r\nb",
        "\t",
        "\u202eabc",
        "\ud7ff",
        "𝔑𝔄𝔓𝔗𝔖",
    ),
    *("$\\foo$", "$x^2$", "<script>alert(1)</script>", "&amp;", "'; DROP TABLE runs; --", '"', "'"),
    *(
        "=1+1",
        "+1+1",
        "-1",
        "@SUM(A1)",
        "|",
        "%s%n{0}",
        "{}",
        "[red]",
        "../../etc/passwd",
        "/",
        ".",
    ),
    *(
        "..",
        "~",
        "-",
        "--help",
        "$(touch owned)",
        "`touch owned`",
        "\\",
        "a" * 300,
        "é" * 5000,
        "x" * 100_000,
    ),
    *(
        "nan",
        "inf",
        "None",
        "true",
        "1e999",
        "0x10",
        "ﬀ",
        "\u0130",
        "\ufeff",
        "e\u0301",
        "NAPTS ",
        "napts",
    ),
    *(
        "torch.optim.Adam",
        "os.system",
        "builtins.exec",
        "torch",
        "torch.optim.",
        ".",
        "a.b.c",
        "__main__",
    ),
)
_NUMBERS = (
    *(0, 1, -1, 2, 3, 7, 1000, 65536, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64),
    *(-(2**63) - 1, 10**40, -(10**40), 10**400),
    *(0.0, -0.0, 0.5, 1.0, -1.5, 5e-324, 1e-12, 1e12, 1e308, -1e308, math.inf, -math.inf, math.nan),
)
_OTHERS = (
    *(True, False, [], {}, [[]], [{}], [None][:0], [1, "a", 2.5, {}], {"a": {"b": {}}}, {"": 1}),
    *(datetime.date(2026, 1, 1), datetime.datetime(2026, 1, 1, 12), datetime.time(1, 2, 3)),
    *({"x" * 200: 1}, {"a.b": 1}, {"method": "Adam"}, list(range(2000)), {"__class__": "x"}),
)
_DEEP = 40


def odd_value(choice: random.Random) -> Any:
    """Return a value that hardly any setting may have."""
    kind = choice.random()
    if kind < 0.35:
        return choice.choice(_NUMBERS)
    if kind < 0.7:
        return choice.choice(_TEXTS)
    if kind < 0.93:
        return deepcopy(choice.choice(_OTHERS))
    return nested(choice.randint(2, _DEEP), choice.random() < 0.5)


def nested(depth: int, as_list: bool) -> Any:
    """Return lists in lists, or tables in tables."""
    value: Any = 1
    for _ in range(depth):
        value = [value] if as_list else {"a": value}
    return value


def places(data: Any) -> Iterator[Place]:
    """Return every place of nested data that can be changed."""
    items = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in list(items):
        yield data, key
        if isinstance(value, dict | list):
            yield from places(value)


def mutated(data: dict[str, Any], choice: random.Random) -> tuple[dict[str, Any], str]:
    """Return a copy of nested data with one to three mutations, and the kind of the first."""
    result = deepcopy(data)
    kinds = []
    for _ in range(choice.choice((1, 1, 1, 2, 3))):
        found = list(places(result))
        if not found:
            break
        mutate = choice.choice(_MUTATIONS)
        mutate(choice, *choice.choice(found))
        kinds.append(mutate.__name__.strip("_").replace("_", " "))
    return result, kinds[0]


def _replace(choice: random.Random, container: Any, key: Any) -> None:
    container[key] = odd_value(choice)


def _delete(choice: random.Random, container: Any, key: Any) -> None:
    del container[key]


def _add(choice: random.Random, container: Any, key: Any) -> None:
    if isinstance(container, dict):
        text = choice.choice((*_TEXTS[:30], f"{key}s", f"{key}".upper(), "radius", "window", "lr"))
        container[text] = odd_value(choice)
    else:
        container.insert(choice.randint(0, len(container)), odd_value(choice))


def _rename(choice: random.Random, container: Any, key: Any) -> None:
    value = container.pop(key)
    if isinstance(container, dict):
        name = str(key)
        names = (
            name.upper(),
            f"{name} ",
            name[:-1],
            f"{name}_",
            name.replace("_", "-"),
            name[::-1],
        )
        container[choice.choice(names)] = value


def _wrap(choice: random.Random, container: Any, key: Any) -> None:
    value = container[key]
    container[key] = choice.choice(([value], {"value": value}, [value, value], str(value)))


_TOO_LARGE = 2**1000
"""No float holds such an integer."""


def _tweak(choice: random.Random, container: Any, key: Any) -> None:
    value = container[key]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or (isinstance(value, int) and abs(value) >= _TOO_LARGE):
        container[key] = choice.choice(_NUMBERS)
        return
    changed = (
        -value,
        value + 1,
        value * 10**6,
        value * 10**20,
        value / 3,
        float(value),
        str(value),
    )
    container[key] = choice.choice(changed)


def _repeat(choice: random.Random, container: Any, key: Any) -> None:
    if isinstance(container, list):
        container.extend(deepcopy(container[key]) for _ in range(choice.choice((1, 2, 50))))
    elif isinstance(container[key], list):
        container[key] = []
    else:
        container[key] = choice.choice(("", 0, [], {}))


def _swap(choice: random.Random, container: Any, key: Any) -> None:
    other = choice.choice(list(container) if isinstance(container, dict) else range(len(container)))
    container[key], container[other] = container[other], container[key]


_MUTATIONS: tuple[Callable[[random.Random, Any, Any], None], ...] = (
    *(_replace, _replace, _replace, _delete, _add, _rename, _wrap, _tweak, _tweak, _repeat, _swap),
)


def damaged(contents: bytes, choice: random.Random) -> tuple[bytes, str]:
    """Return bytes as a broken disk, a hasty editor or an enemy leaves them, and how."""
    damage = choice.choice(_DAMAGES)
    return damage(choice, contents), damage.__name__.strip("_").replace("_", " ")


def _truncate(choice: random.Random, contents: bytes) -> bytes:
    return contents[: choice.randrange(len(contents) + 1)]


def _flip_bits(choice: random.Random, contents: bytes) -> bytes:
    result = bytearray(contents or b"\0")
    for _ in range(choice.choice((1, 1, 2, 8, 64))):
        result[choice.randrange(len(result))] ^= 1 << choice.randrange(8)
    return bytes(result)


def _insert_junk(choice: random.Random, contents: bytes) -> bytes:
    place = choice.randrange(len(contents) + 1)
    junk = (
        b"\0",
        b"\xff\xfe",
        b"\xed\xa0\x80",
        b"\x1b[2J",
        b"[[",
        b"'''",
        b"=",
        b"\r",
        b"\xef\xbb\xbf",
    )
    return contents[:place] + choice.choice((*junk, choice.randbytes(50))) + contents[place:]


def _lose_a_line(choice: random.Random, contents: bytes) -> bytes:
    lines = contents.splitlines(keepends=True) or [b""]
    del lines[choice.randrange(len(lines))]
    return b"".join(lines)


def _repeat_a_line(choice: random.Random, contents: bytes) -> bytes:
    lines = contents.splitlines(keepends=True) or [b""]
    index = choice.randrange(len(lines))
    return b"".join([*lines[:index], lines[index], *lines[index:]])


def _shuffle_lines(choice: random.Random, contents: bytes) -> bytes:
    lines = contents.splitlines(keepends=True)
    choice.shuffle(lines)
    return b"".join(lines)


def _cut_a_block(choice: random.Random, contents: bytes) -> bytes:
    start, end = sorted(choice.randrange(len(contents) + 1) for _ in range(2))
    return contents[:start] + contents[end:]


def _zero_a_block(choice: random.Random, contents: bytes) -> bytes:
    start, end = sorted(choice.randrange(len(contents) + 1) for _ in range(2))
    return contents[:start] + bytes(end - start) + contents[end:]


def _empty(choice: random.Random, contents: bytes) -> bytes:
    return b""


_DAMAGES: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    *(_truncate, _truncate, _flip_bits, _flip_bits, _insert_junk, _lose_a_line, _repeat_a_line),
    *(_shuffle_lines, _cut_a_block, _zero_a_block, _empty),
)
