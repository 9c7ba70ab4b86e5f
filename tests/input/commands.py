"""The command line in this process, and what every refusal of it has in common."""

import traceback
from pathlib import Path
from typing import Any

import tomli_w
from click.testing import CliRunner, Result

from napts.cli import main
from napts.text import is_hidden

MOST_LINES = 9
"""A spec may have several problems, one a line."""


def call(*arguments: object) -> Result:
    """Give a command; an exception is a failure of the test, with its traceback."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        assert result.exc_info is not None
        raise AssertionError("".join(traceback.format_exception(*result.exc_info)))
    return result


def refused(*arguments: object, lines: int = 1, code: int = 2) -> str:
    """Give a command that is refused, in lines that a person can read and a terminal shows."""
    before = everything()
    result = call(*arguments)
    said = result.stderr.splitlines()
    assert result.exit_code == code, result.output
    assert 1 <= len(said) <= lines, said[:3]
    assert all(0 < len(line) <= 200 for line in said), max(map(len, said))
    assert not any(map(is_hidden, "".join(said)))
    assert said[0].startswith("napts: ")
    assert everything() == before, "something was left behind"
    return result.stderr


def everything() -> dict[Path, bytes]:
    """Return all files of the current folder, and the folders with empty contents."""
    found = sorted(Path().rglob("*"))
    return {path: path.read_bytes() if path.is_file() else b"" for path in found}


def write(name: str, data: Any) -> str:
    """Write a file of the current folder, from text or from nested data."""
    text = data if isinstance(data, str) else tomli_w.dumps(data)
    Path(name).write_text(text, encoding="utf-8")
    return name
