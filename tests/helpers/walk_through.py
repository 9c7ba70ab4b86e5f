"""The page about own problems: its files and its commands."""

import shlex
from pathlib import Path

from tests.helpers.pages import code

PAGE = "tutorials/own_problem.md"


def write_files(folder: Path) -> tuple[Path, Path]:
    """Write the Python file and the TOML file into a folder."""
    (program,), (spec,) = code(PAGE, "python"), code(PAGE, "toml")
    files = folder / "wine.py", folder / "wine.toml"
    for file, text in zip(files, (program, spec), strict=True):
        file.write_text(text)
    return files


def commands() -> list[list[str]]:
    """Return the page's commands, each as its words, in order."""
    return [shlex.split(line) for text in code(PAGE, "sh") for line in text.splitlines()]
