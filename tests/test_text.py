"""Text from outside is told in one line of bounded length, with nothing hidden in it."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napts.text import is_hidden, one_line, plain_label, shown, visible

HIDDEN = ["\x00", "\n", "\r", "\t", "\x1b", "\x7f", "\x85", "\u202e", "\u2066", "\u200b", "\u2028"]
HIDDEN += ["\ufeff", "\ud800", "\ufffe", "\ufdd0", "\U000e0041", "\U0001ffff", "\u00ad"]


@pytest.mark.parametrize("character", HIDDEN, ids=ascii)
def test_hidden_characters_are_refused_and_made_visible(character: str) -> None:
    with pytest.raises(
        ValueError, match=r"U\+[0-9A-F]+ in .*, allowed: visible characters"
    ) as said:
        plain_label(f"a{character}b")
    for text in (str(said.value), visible(f"a{character}b"), one_line(f"a{character}b")):
        assert not any(map(is_hidden, text))
    assert visible(f"a{character}b") != "ab", "nothing is dropped in silence"


@pytest.mark.parametrize(
    "text", ["NAPTS, T = 5", "é ü 日本語 ∞ $x$ |`<b>[red]", "می\u200cخواهم", "👩\u200d🔬"]
)
def test_what_can_be_seen_stays(text: str) -> None:
    assert plain_label(text) == visible(text) == one_line(text) == text


def test_labels_of_blanks_alone_are_refused() -> None:
    with pytest.raises(ValueError, match="a visible text"):
        plain_label("  ")


@given(st.text(alphabet=st.characters(), max_size=300), st.integers(8, 250))
def test_lines_are_lines_of_bounded_length(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert len(line) <= limit
    assert len(line.splitlines()) <= 1
    assert line.isprintable() or not any(map(is_hidden, line))
    line.encode("utf-8")


def test_both_ends_of_long_texts_are_kept() -> None:
    line = one_line(f"methods.label: found {'x' * 100_000}, allowed: 100 characters")
    assert line.startswith("methods.label: found xxx")
    assert line.endswith("xxx, allowed: 100 characters")
    assert "..." in line


def nested(depth: int) -> list[object]:
    value: list[object] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        *("x" * 10**6, "\x1b[2J" * 99, b"x" * 10**6, 10**40, -(10**5000), 1e308, float("nan")),
        *(list(range(10**5)), {"k" * 999: ["v"] * 999}, nested(sys.getrecursionlimit() * 2)),
        *(object(), None, True, {"a"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_any_value_can_be_shown(value: object) -> None:
    text = shown(value)
    assert 0 < len(text) <= 60
    assert not any(map(is_hidden, text))


def test_short_values_are_shown_as_they_are() -> None:
    values = [5, -1, 10**40, "NAPTS", [1, 2], 0.1, None, True]
    assert [shown(value) for value in values] == [repr(value) for value in values]
