"""The page about own problems: its files and its commands."""

import re
import shlex
from pathlib import Path

from tests.helpers.installed import ROOT

PAGE = ROOT / "docs" / "tutorials" / "own_problem.md"


def blocks(language: str) -> list[str]:
    """Return the page's blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def write_files(folder: Path) -> tuple[Path, Path]:
    """Write the Python file and the TOML file into a folder."""
    (code,), (spec,) = blocks("python"), blocks("toml")
    files = folder / "wine.py", folder / "wine.toml"
    for file, text in zip(files, (code, spec), strict=True):
        file.write_text(text)
    return files


def commands() -> list[list[str]]:
    """Return the page's commands, each as its words, in order."""
    return [shlex.split(line) for block in blocks("sh") for line in block.splitlines()]
