"""The pages of the documentation and their blocks of code, for the tests that run them.

A block that no test can run says why in the line before it: ``<!-- not run: needs a cluster -->``.
A block whose first line is a comment with a file's name is that file.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
CODE = ("python", "toml", "sh", "console", "yaml")
"""Languages of what a reader may run."""

_BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^>]+) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)^```",
    re.MULTILINE | re.DOTALL,
)
_FILE = re.compile(r"# (\S+\.(?:py|toml|yml))\n")


@dataclass(frozen=True)
class Block:
    """One block of code.

    Attributes:
        page: The page, below docs/.
        language: What follows its fence.
        text: The code.
        reason: Why no test runs it.
    """

    page: str
    language: str
    text: str
    reason: str | None

    @property
    def file(self) -> str | None:
        """Name of the file that the block is."""
        found = _FILE.match(self.text)
        return found[1] if found else None

    def run(self, names: dict[str, Any]) -> None:
        """Execute Python code.

        Args:
            names: The variables that it finds and leaves.
        """
        exec(compile(self.text, f"docs/{self.page}", "exec"), names)


def pages() -> list[str]:
    """Return the names of all pages, below docs/."""
    found = (path.relative_to(DOCS) for path in DOCS.rglob("*.md"))
    return sorted(str(page) for page in found if page.parts[0] != "_build")


def text_of(page: str) -> str:
    """Return the text of a page."""
    return (DOCS / page).read_text(encoding="utf-8")


def blocks(page: str, *languages: str) -> list[Block]:
    """Return the blocks of a page, in order.

    Args:
        page: Its name, below docs/.
        languages: Which; by default those of `CODE`.
    """
    return [block for block in _all(page) if block.language in (languages or CODE)]


def code(page: str, language: str) -> list[str]:
    """Return the texts of the blocks that are to be run, in order."""
    return [block.text for block in blocks(page, language) if block.reason is None]


def _all(page: str) -> Iterator[Block]:
    for found in _BLOCK.finditer(text_of(page)):
        yield Block(page, found["language"], found["text"], found["reason"])
