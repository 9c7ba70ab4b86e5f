"""What a job's script may contain; a shell and sbatch read it, each by its own rules."""

import os
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, StringConstraints

from napts.experiment.spec.reading import SpecError
from napts.text import is_hidden, shown

_LONGEST_WORD = 1000


def _word(text: str) -> str:
    r"""Check a value of an ``#SBATCH`` line, which is quoted there.

    A newline would end the line, and the shell would run what follows; ``\`` has another meaning
    for sbatch than for the code that quoted it.
    """
    if "\\" in text or any(map(is_hidden, text)):
        raise ValueError(f"found {shown(text)}, allowed: visible characters in one line, no '\\'")
    return text


def _line(text: str) -> str:
    """Check a line of shell code, or an argument that is quoted in one."""
    if any(is_hidden(character) for character in text if character != "\t"):
        raise ValueError(f"found {shown(text)}, allowed: one line of visible characters")
    return text


def _settings(table: dict[str, Any]) -> dict[str, Any]:
    for name, value in table.items():
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,59}", name):
            raise ValueError(f"found the name {shown(name)}, allowed: a-z, 0-9, - and _")
        if isinstance(value, str):
            _short_word(name, value)
        elif not isinstance(value, bool | int | float):
            raise ValueError(
                f"{name}: found {shown(value)}, allowed: text, a number, true or false"
            )
    return table


def _short_word(name: str, value: str) -> None:
    if len(value) > _LONGEST_WORD:
        raise ValueError(f"{name}: found {len(value)} characters, allowed: at most {_LONGEST_WORD}")
    try:
        _word(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


Word = Annotated[
    str, StringConstraints(min_length=1, max_length=_LONGEST_WORD), AfterValidator(_word)
]
"""A value of an ``#SBATCH`` line."""

Line = Annotated[str, StringConstraints(max_length=10_000), AfterValidator(_line)]
"""A line of shell code, or one of the words of a command."""

Settings = Annotated[dict[str, Any], AfterValidator(_settings)]
"""Names and values of ``#SBATCH`` lines; true means a name without a value."""


def check_place(folder: Path, *, slurm: bool) -> None:
    """Check that jobs can keep their code and logs in a folder.

    Args:
        folder: The folder of the records.
        slurm: Whether sbatch is given its path.

    Raises:
        SpecError: Its path has a character with a special meaning for Python or Slurm.
    """
    path = str(folder.absolute())
    refused = {os.pathsep: "separates folders in PYTHONPATH"}
    if slurm:
        refused |= {"%": "stands for numbers of jobs in Slurm", "\\": "is read by sbatch"}
    for character, why in refused.items():
        if character in path:
            raise SpecError([f"records folder: found {character!r} in {shown(path)}, which {why}"])
    if slurm and any(map(is_hidden, path)):
        raise SpecError([f"records folder: found {shown(path)}, allowed: visible characters"])
