"""Text from outside, made fit to print: one line, not long, with nothing hidden in it.

Characters that mean something to one medium (formulas in CSV, ``$`` in figures, markup on a
terminal) are escaped where that medium is written. This module has what holds for all media.
"""

import unicodedata
from reprlib import Repr

LINE = 200
"""Characters that a message may have."""

VALUE = 60
"""Characters that a value may take within a message."""

_JOINERS = "\u200c\u200d"
"""Format characters that spelling needs: zero-width joiners, in Persian, Hindi and emoji."""

_LARGEST_BITS = 192
"""Longer integers are described by their size; Python refuses to print thousands of digits."""

_repr = Repr()
_repr.maxlevel = 3
_repr.maxstring = _repr.maxlong = _repr.maxother = VALUE
_repr.maxlist = _repr.maxtuple = _repr.maxdict = _repr.maxset = _repr.maxfrozenset = 4


def is_hidden(character: str) -> bool:
    """Return whether a character acts on a text rather than being part of it.

    These are control characters (newlines and the start of ANSI escapes among them), format
    characters (such as those that change the direction of writing), line separators, lone
    surrogates and code points that are no characters. Zero-width joiners, which spelling needs, do
    not count.
    """
    category = unicodedata.category(character)
    if category == "Cn":
        code = ord(character)
        return code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF
    return category in ("Cc", "Cf", "Cs", "Zl", "Zp") and character not in _JOINERS


def visible(text: str) -> str:
    r"""Return a text with hidden characters spelled out, such as ``\x1b`` and ``\n``."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_spelled(character) if is_hidden(character) else character for character in text)


def one_line(text: object, limit: int = LINE, tail: float = 1 / 3) -> str:
    """Return a text as one line without hidden characters, shortened in its middle.

    Args:
        text: What to print; anything that is not a string is converted with ``str``.
        limit: Characters that the line may have, at least 8.
        tail: Share of a shortened text that comes from its end.
    """
    # What a few characters are spelled with may be longer than they, so both ends are kept longer.
    cut = _shortened(str(text), 4 * limit, tail)
    return _shortened(visible(" ".join(cut.split())), limit, tail)


def placed(place: object, problem: str, limit: int = LINE) -> str:
    """Return a place and what is wrong there as one line; a long place keeps its two ends.

    Args:
        place: A file, an option or the like.
        problem: What was found there, and what is allowed.
        limit: Characters that the line may have, at least 100.
    """
    said = one_line(problem, limit - 40)
    # A file's own name is at its end.
    return f"{one_line(place, limit - len(said) - 2, 2 / 3)}: {said}"


def shown(value: object, limit: int = VALUE) -> str:
    """Return a value as Python would write it, shortened in its middle.

    Args:
        value: Of any type and size.
        limit: Characters that it may take, at least 8.
    """
    if isinstance(value, int) and value.bit_length() > _LARGEST_BITS:
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, str):
        return one_line(repr(_shortened(value, limit)), limit)
    return one_line(_repr.repr(value), limit)


def plain_label(text: str) -> str:
    """Return a label or a name unchanged; it may have visible characters only.

    Raises:
        ValueError: It has a hidden character, or nothing but blanks.
    """
    hidden = next((character for character in text if is_hidden(character)), None)
    if hidden is not None:
        found = f"U+{ord(hidden):04X} in {shown(text)}"
        raise ValueError(f"found the control character {found}, allowed: visible characters")
    if text and not text.strip():
        raise ValueError(f"found {shown(text)}, allowed: a visible text")
    return text


def _shortened(text: str, limit: int, tail: float = 1 / 3) -> str:
    if len(text) <= limit:
        return text
    end = int((limit - 3) * tail)
    return f"{text[: limit - 3 - end]}...{text[len(text) - end :]}"


def _spelled(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
